import pytest
import torch

from vidfold.transport import cosine, grid_distance, grid_positions


def test_cosine_equals_its_definition():
    x, y = torch.randn(2, 5, 7), torch.randn(2, 3, 7)
    expected = 1 - torch.cosine_similarity(x[:, :, None], y[:, None], dim=-1)
    torch.testing.assert_close(cosine(x, y), expected, atol=1e-6, rtol=0)


def test_cosine_of_equal_opposite_and_zero_vectors():
    x = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    y = torch.tensor([[[2.0, 0.0], [-3.0, 0.0]]])
    assert cosine(x, y).tolist() == [[[0.0, 2.0], [1.0, 1.0]]]


def test_cosine_of_half_precision_is_float32():
    assert cosine(torch.randn(1, 4, 8).bfloat16(), torch.randn(1, 4, 8).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cosine_of_large_half_precision_features(dtype):
    # Their squares overflow float16.
    x = torch.tensor([[[6e4, 0.0], [6e4, 6e4], [-6e4, 1.0]]], dtype=dtype)
    half = 1 - 0.5**0.5
    expected = torch.tensor([[[0.0, half, 2.0], [half, 0.0, 2 - half], [2.0, 2 - half, 0.0]]])
    torch.testing.assert_close(cosine(x, x), expected, atol=1e-4, rtol=0)


def test_cosine_of_strided_features():
    x = torch.randn(7, 10, 4).permute(2, 1, 0)[:, ::3]
    torch.testing.assert_close(cosine(x, x[:, 1:]), cosine(x.contiguous(), x[:, 1:].contiguous()))


def test_cosine_has_a_gradient():
    x = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 2, 4, requires_grad=True)
    cosine(x, y).sum().backward()
    assert x.grad.abs().sum() > 0
    assert torch.isfinite(y.grad).all()


def test_cosine_of_features_that_do_not_fit():
    with pytest.raises(ValueError, match=r"of one width, got \(1, 3, 4\) and \(1, 3, 5\)"):
        cosine(torch.rand(1, 3, 4), torch.rand(1, 3, 5))
    with pytest.raises(ValueError, match="on one device, got cpu and meta"):
        cosine(torch.rand(1, 3, 4), torch.rand(1, 3, 4, device="meta"))


def test_grid_distance():
    positions = grid_positions(torch.arange(6), (3, 2))
    assert positions.tolist() == [[0, 0], [1, 0], [0, 0.5], [1, 0.5], [0, 1], [1, 1]]
    assert grid_distance(positions, positions[:1])[5, 0] == pytest.approx(2**0.5)
    assert grid_positions(torch.arange(1), (1, 1)).tolist() == [[0, 0]]

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


def test_grid_distance():
    positions = grid_positions((3, 2))
    assert positions.tolist() == [[0, 0], [1, 0], [0, 0.5], [1, 0.5], [0, 1], [1, 1]]
    assert grid_distance(positions, positions[:1])[5, 0] == pytest.approx(2**0.5)
    assert grid_positions((1, 1)).tolist() == [[0, 0]]

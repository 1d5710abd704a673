import pytest
import torch

from vidfold.ops.sketch import sketch


@pytest.mark.parametrize("channels", [512, 900, 1024])
def test_distances_stay(channels):
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randn(200, channels, generator=rng) * torch.rand(channels, generator=rng).exp() ** 2
    true, kept = torch.pdist(tokens) ** 2, torch.pdist(sketch(tokens, 256)) ** 2
    error = kept / true - 1
    assert error.mean().abs() < 0.02
    assert error.std() < (2 / 256) ** 0.5


def test_narrow_tokens_are_unchanged():
    tokens = torch.rand(3, 5, 64)
    assert sketch(tokens, 64) is tokens


def test_deterministic():
    tokens = torch.rand(2, 3, 100)
    assert torch.equal(sketch(tokens, 32), sketch(tokens, 32))
    torch.testing.assert_close(sketch(tokens[1], 32), sketch(tokens, 32)[1])


def test_signs_are_balanced():
    tokens = torch.eye(4096)
    signs = sketch(tokens, 2048).sum(1)
    assert signs.abs().eq(1).all()
    assert signs.sum().abs() < 4 * 64
    assert (signs[1:] * signs[:-1]).sum().abs() < 4 * 64

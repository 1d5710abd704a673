"""Positions of folded videos in prompts with M-RoPE, without vLLM."""

import itertools

import pytest
import torch

from vidfold.serving.positions import attached, columns, detached, laid_out, placed


def whole(frames, height, width):
    """Positions of an unfolded video at the start of a prompt."""
    return torch.cartesian_prod(torch.arange(frames), torch.arange(height), torch.arange(width)).T


VIDEO, PICTURE = whole(6, 2, 3), whole(1, 4, 2)
KEPT = torch.tensor([0, 7, 8, 35])
# three words, a video of four tokens, two words, an image, one word
MEDIA = [(3, 4, VIDEO, True), (9, 8, PICTURE, False)]


def expected():
    """Every token has the position of the full prompt: the video takes 6, the image 4."""
    words = [torch.arange(3), torch.arange(9, 11), torch.arange(15, 16)]
    first, second, third = (each.expand(3, -1) for each in words)
    return torch.cat([first, VIDEO[:, KEPT] + 3, second, PICTURE + 11, third], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cuts", [(0, 18), (0, 5, 18), (0, 4, 6, 12, 18)])
def test_tokens_keep_the_positions_of_the_full_prompt(dtype, cuts):
    positions, delta = laid_out(18, MEDIA)
    assert delta == 16 - 18
    text = torch.tensor([0, 1, 2, 7, 8, 17])
    assert torch.equal(positions[:, text], expected()[:, text])
    rows = {3: attached(torch.randn(4, 8, dtype=dtype), VIDEO[:, KEPT].T), 9: torch.randn(8, 8, dtype=dtype)}
    places = torch.cat([torch.arange(3, 7), torch.arange(9, 17)])
    for start, end in itertools.pairwise(cuts):
        parts = [each[max(start - first, 0) : end - first] for first, each in rows.items() if first < end]
        parts = [each for each in parts if len(each)]
        bare, positions = placed(positions, places[places >= start], parts, 8)
        assert all(each.shape[1] == 8 for each in bare)
    assert torch.equal(positions, expected())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_positions_and_numbers_beyond_what_the_dtype_counts_are_exact(dtype):
    relative = torch.arange(3 * 40000).view(-1, 3) % 65536
    tokens = torch.randn(40000, 4).to(dtype)
    bare, positions, numbers = detached(attached(tokens, relative), 4)
    assert torch.equal(bare, tokens)
    assert torch.equal(positions.T, relative)
    assert torch.equal(numbers, torch.arange(40000))
    assert columns(relative, dtype).dtype == dtype


def test_a_prompt_may_begin_with_a_video():
    positions, _ = laid_out(5, [(0, 4, VIDEO, True)])
    _, positions = placed(positions, torch.arange(4), [attached(torch.randn(4, 2), VIDEO[:, KEPT].T)], 2)
    assert torch.equal(positions[:, :4], VIDEO[:, KEPT])
    assert positions[:, 4].tolist() == [6, 6, 6]

"""Farthest-point selection: against a plain loop, and on videos whose groups are known."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.conftest import make_video
from vidfold import VideoTokens
from vidfold.reducers.diverse import Diverse


def _by_hand(video: VideoTokens, count: int) -> list[int]:
    """Places of the chosen ones, in a plain loop, from the description."""
    units = functional.normalize(video.pooled().flatten(0, 1), dim=-1)
    similarity = units @ units.T
    chosen = [int((units @ units.mean(0)).argmin())]
    while len(chosen) < count:
        nearest = similarity[chosen].amax(0)
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return sorted(chosen)


def _places(method: Diverse, video: VideoTokens) -> list[int]:
    reduction = method(video)
    return (reduction.frames * video.cells + reduction.cells).tolist()


@pytest.mark.parametrize("retention", [0.001, 0.02, 0.1, 0.5, 0.9])
def test_equals_a_plain_loop(retention):
    video = make_video(frames=5, grid=(9, 7))
    method = Diverse(retention)
    assert _places(method, video) == _by_hand(video, method.count(5, video.cells))


def test_one_token_per_direction():
    directions = torch.eye(8)[torch.arange(8).repeat_interleave(torch.tensor([30, 1, 1, 20, 8, 2, 1, 1]))]
    scaled = directions * torch.linspace(0.5, 2, 64)[:, None]
    mixed = scaled[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    reduction = Diverse(8 / 64)(VideoTokens(mixed.view(4, 16, 8), (4, 4)))
    assert sorted(reduction.tokens.argmax(1).tolist()) == list(range(8))


def test_tokens_are_unchanged_and_in_reading_order():
    video = make_video(frames=4)
    reduction = Diverse(0.2)(video, weights=True)
    assert torch.equal(reduction.tokens, video.pooled()[reduction.frames, reduction.cells])
    assert ((reduction.frames * video.cells + reduction.cells).diff() > 0).all()
    assert reduction.weights.values().eq(1).all()


def test_attention_and_scale_do_not_matter():
    video = make_video(frames=4)
    assert not Diverse().needs
    places = _places(Diverse(0.2), video)
    assert _places(Diverse(0.2), replace(video, shallow=None, deep=None, keys=None)) == places
    assert _places(Diverse(0.2), replace(video, features=8 * video.features)) == places

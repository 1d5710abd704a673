"""Farthest-point selection: against a plain loop and the authors' choices, on still videos and on known groups."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling, VideoTokens
from vidfold.ops.cover import farthest_units, most_isolated
from vidfold.reducers.diverse import Diverse, DivPrune

CASES = peer_cases("divprune")


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


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    video = peer_video(frames)
    reduction = DivPrune(params["r"], original=True)(video)
    assert torch.equal(reduction.frames * 196 + reduction.cells, golden["idx"].long())
    units = torch.nn.functional.normalize(video.features.flatten(0, 1), dim=-1)
    order = farthest_units(units[None], most_isolated(units)[None], len(reduction))
    assert torch.equal(order[0], golden["order"].long())


def _still(frames: int) -> VideoTokens:
    scene = make_video(frames=1, grid=(5, 5), pooling=Pooling.NONE)
    return VideoTokens(scene.features.repeat(frames, 1, 1), (5, 5))


def test_a_still_video_keeps_different_tokens():
    reduction = DivPrune(0.5)(_still(4))
    place = reduction.frames * 25 + reduction.cells
    assert len(place.unique()) == 50
    assert len(reduction.cells.unique()) == 25, "every token of the scene comes before any copy"
    original = DivPrune(0.5, original=True)(_still(4))
    assert len(original) == 50
    assert len((original.frames * 25 + original.cells).unique()) < 50


def test_the_original_rounds_halves_to_even():
    assert DivPrune(0.5, original=True).count(1, 5) == 2
    assert DivPrune(0.5).count(1, 5) == 3
    assert DivPrune(0.01, original=True).count(1, 5) == 1

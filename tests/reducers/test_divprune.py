"""DivPrune: the authors' choices, in their order, and videos that stand still."""

import pytest
import torch

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling, VideoTokens
from vidfold.ops.cover import farthest_units, most_isolated
from vidfold.reducers.diverse import DivPrune

CASES = peer_cases("divprune")


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

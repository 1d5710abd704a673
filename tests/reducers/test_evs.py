"""EVS: vLLM's selection, and the exact budget."""

import pytest
import torch

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling
from vidfold.reducers.evs import EVS

CASES = peer_cases("evs")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method, video = EVS(1 - params["q"], original=True), peer_video(frames)
    reduction = method(video)
    assert len(reduction) == method.count(frames, 196)
    assert torch.equal(reduction.frames * 196 + reduction.cells, golden["idx"].long())
    assert torch.equal(reduction.frames.bincount(minlength=frames), golden["frame_counts"].long())


def test_count_equals_the_serving_engine():
    assert EVS(0.1, original=True).count(16, 196) == 313
    assert EVS(1 - 0.85, original=True).count(16, 196) == 470
    assert EVS(0.01, original=True).count(16, 196) == 196
    assert EVS(0.1).count(16, 196) == 314


def test_keeps_the_first_frame_and_what_changed():
    video = make_video(frames=6, pooling=Pooling.NONE)
    still = video.features[:1].repeat(6, 1, 1)
    still[3, 10:20] = video.features[3, 10:20]
    video = make_video(frames=6, pooling=Pooling.NONE)
    object.__setattr__(video, "features", still)
    # Ten cells change in frame 3 and change back in frame 4.
    reduction = EVS((72 + 20) / (6 * 72))(video)
    assert reduction.frames.bincount(minlength=6).tolist() == [72, 0, 0, 10, 10, 0]
    assert reduction.cells[reduction.frames == 3].tolist() == list(range(10, 20))


def test_small_budget_is_spread_over_the_first_frame():
    video = make_video(frames=6, grid=(8, 8), pooling=Pooling.NONE)
    reduction = EVS(16 / (6 * 64))(video)
    assert (reduction.frames == 0).all()
    assert sorted(set((reduction.cells // 8).tolist())) == [1, 3, 5, 7]
    assert sorted(set((reduction.cells % 8).tolist())) == [1, 3, 5, 7]

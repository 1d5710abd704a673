"""DyCoke: the authors' program, and windows that go on below a quarter."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold.reducers.dycoke import DyCoke

CASES = peer_cases("dycoke")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method, video = DyCoke(original=True, drop=params["K"]), peer_video(frames)
    reduction = method(video, weights=True)
    index = reduction.frames * video.cells + reduction.cells
    assert torch.equal(index, golden["idx"].long())
    assert torch.equal(torch.bincount(reduction.frames, minlength=frames), golden["frame_counts"].long())
    assert torch.equal(reduction.tokens, video.features.flatten(0, 1)[index])
    assert torch.equal(reduction.weights.to_dense().argmax(1), index)
    assert method.count(frames, video.cells) == len(reduction)


@pytest.mark.parametrize("frames", range(1, 10))
def test_the_original_runs_on_any_video(frames):
    method, video = DyCoke(original=True), make_video(frames=frames)
    assert len(method(video)) == method.count(frames, video.cells)


def _by_hand(video, retention):
    """Windows of 4, 8, ... frames; every later frame against the one with its place's lowest set bit cleared."""
    frames, cells = video.frames, video.cells
    total = DyCoke(retention).count(frames, cells)
    window = 4
    while window < frames and len(range(0, frames, window)) * cells > total:
        window *= 2
    heads = list(range(0, frames, window))
    if total < len(heads) * cells:
        return [cell * cells // total for cell in range(total)]
    spare, later = total - len(heads) * cells, frames - len(heads)
    index, seen = [], 0
    for frame in range(frames):
        place = frame % window
        if place == 0:
            index += [frame * cells + cell for cell in range(cells)]
            continue
        quota = spare * (seen + 1) // later - spare * seen // later
        seen += 1
        earlier = frame - place + (place & (place - 1))
        alike = cosine_similarity(video.features[frame], video.features[earlier], dim=-1)
        index += sorted((frame * cells + alike.argsort()[:quota]).tolist())
    return index


@pytest.mark.parametrize("retention", [0.01, 0.05, 0.1, 0.2, 0.26, 0.5, 0.9])
@pytest.mark.parametrize("frames", [1, 4, 9, 16])
def test_equals_plain_loops(frames, retention):
    video = peer_video(16)
    video = type(video)(video.features[:frames], video.grid)
    reduction = DyCoke(retention)(video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == _by_hand(video, retention)


def test_above_a_quarter_it_is_the_published_method_without_its_flaws():
    video = peer_video(16)
    kept = 4 * 196 + 12 * 58
    reduction = DyCoke(kept / (16 * 196))(video)
    assert torch.bincount(reduction.frames).tolist() == [196, 58, 58, 58] * 4
    original = DyCoke(original=True, drop=0.7)(video)
    for frame in (1, 2, 3, 13, 15):
        ours = reduction.cells[reduction.frames == frame]
        assert torch.equal(ours, original.cells[original.frames == frame].sort().values)


@pytest.mark.parametrize(("settings", "message"), [({"drop": 1.2}, r"drop must be in \[0, 1\], got 1.2")])
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DyCoke(**settings)

from itertools import pairwise, product

import pytest
import torch

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import VideoTokens
from vidfold.segments.optimal import OptimalSeg, similarities

CASES = {case: values for case, values in peer_cases("holitom").items() if "segments" in values[2]}


def firsts(cut):
    return cut.starts[cut.lengths > 0].tolist()


def gain(still, starts):
    ends = [*starts[1:], len(still) + 1]
    return sum(
        (end - start - 1) * int(still[start : end - 1].all(0).sum()) for start, end in zip(starts, ends, strict=True)
    )


def best(still, window):
    """All segmentations: the largest gain, then the shortest last segment, then the shortest one before it, ..."""
    frames = len(still) + 1
    choices = [
        [0, *(frame for frame, cut in enumerate(cuts, start=1) if cut)] for cuts in product([0, 1], repeat=frames - 1)
    ]
    allowed = [c for c in choices if max(b - a for a, b in pairwise([*c, frames])) <= window]
    return max(allowed, key=lambda starts: (gain(still, starts), starts[::-1]))


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    cut = OptimalSeg(params["tau"])(peer_video(frames))
    assert firsts(cut) == golden["segments"][:, 0].tolist()
    assert (cut.starts + cut.lengths - 1)[cut.lengths > 0].tolist() == golden["segments"][:, 1].tolist()


@pytest.mark.parametrize("window", [1, 2, 3, 9])
@pytest.mark.parametrize("seed", range(5))
def test_segmentation_is_optimal(seed, window):
    still = torch.rand(6, 5, generator=torch.Generator().manual_seed(seed)) < 0.7
    cut = OptimalSeg(window=window).cut(still)
    assert gain(still, firsts(cut)) == gain(still, best(still, window))
    assert firsts(cut) == best(still, window)
    assert cut.lengths.max() <= cut.longest
    assert cut.lengths.sum() == 7


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_any_video(frames):
    video = make_video(frames=frames)
    cut = OptimalSeg(-1.0)(video)
    assert cut.lengths.tolist() == [frames] + [0] * (frames - 1), "everything stands still"
    assert OptimalSeg(1.0)(video).lengths.tolist() == [1] * frames, "nothing does"


def test_similarities():
    video = make_video(frames=3)
    expected = torch.nn.functional.cosine_similarity(video.features[:-1], video.features[1:], dim=-1)
    torch.testing.assert_close(similarities(video.features), expected)
    assert torch.equal(similarities(torch.zeros(2, 4, 3)), torch.zeros(1, 4))


def test_no_host_sync():
    bare = object.__new__(VideoTokens)
    for name, value in vars(make_video(frames=9)).items():
        object.__setattr__(bare, name, value.to("meta") if isinstance(value, torch.Tensor) else value)
    assert OptimalSeg()(bare).starts.shape == (9,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, r"threshold must be a cosine similarity in \[-1, 1\], got 1.5"),
        ({"threshold": "high"}, "got 'high'"),
        ({"window": 0}, "window must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        OptimalSeg(**settings)

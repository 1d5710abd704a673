import pytest
import torch

from tests.conftest import load_golden, make_video
from vidfold import VideoTokens
from vidfold.segments import Clips, DySeg, Fixed, Uniform, default_clip, segmenter


def spans(cut: Clips) -> list[tuple[int, int]]:
    return [(s, n) for s, n in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True) if n]


def frames_only(vectors: torch.Tensor) -> VideoTokens:
    return VideoTokens(vectors[:, None, :], (1, 1), frame_features=vectors)


@pytest.mark.parametrize(("frames", "clip"), [(1, 1), (3, 3), (8, 4), (32, 4), (48, 6), (64, 8), (1024, 8)])
def test_default_clip(frames, clip):
    assert default_clip(frames) == clip


@pytest.mark.parametrize(
    ("frames", "clip", "lengths"), [(32, 4, [4] * 8), (10, 4, [4, 4, 2]), (3, 9, [3]), (1, None, [1])]
)
def test_uniform(frames, clip, lengths):
    cut = Uniform(clip)(make_video(frames=frames))
    assert cut.lengths.tolist() == lengths
    assert cut.longest == max(lengths)


@pytest.mark.parametrize("case", range(len([k for k in load_golden("aot/unit") if k.endswith("_sizes")])))
def test_dynamic_segments_equal_golden(case):
    unit = load_golden("aot/unit")
    clips, threshold = unit[f"dyseg{case}_par"].tolist()
    cut = DySeg(int(clips), round(threshold, 6))(frames_only(unit[f"dyseg{case}_x"]))
    assert [length for _, length in spans(cut)] == unit[f"dyseg{case}_sizes"].tolist()
    assert max(length for _, length in spans(cut)) <= cut.longest


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 30])
def test_dynamic_segments_cover_any_video(frames):
    cut = DySeg()(make_video(frames=frames))
    covered = [start + offset for start, length in spans(cut) for offset in range(length)]
    assert covered == list(range(frames))
    assert len(spans(cut)) >= min(8, frames)


def test_dynamic_segments_default_to_mean_features():
    video = make_video(frames=12)
    explicit = frames_only(video.features.mean(1))
    assert spans(DySeg()(video)) == spans(DySeg()(explicit))


def test_identical_frames_are_still_cut_into_enough_clips():
    assert len(spans(DySeg(clips=3)(frames_only(torch.ones(9, 4))))) == 3


def test_segmenter_by_name():
    assert segmenter("uniform", 5) == Uniform(5)
    assert segmenter(None) == Uniform()
    assert segmenter("dynamic") == DySeg()
    assert segmenter([(0, 2), (2, 1)]) == Fixed(((0, 2), (2, 1)))
    assert segmenter(DySeg(threshold=0.84)) == DySeg(threshold=0.84)


@pytest.mark.parametrize(
    ("segments", "clip", "message"),
    [
        ("scenes", None, "must be 'uniform', 'dynamic', 'optimal'.*got 'scenes'"),
        ("dynamic", 4, "clip=4 goes with uniform segments only"),
        ([(0, 2), (3, 1)], None, r"\(3, 1\) should start at frame 2"),
        ([(0, 0)], None, "at least one frame"),
        ([], None, "at least one"),
        (7, None, "got 7"),
    ],
)
def test_bad_segments(segments, clip, message):
    with pytest.raises(ValueError, match=message):
        segmenter(segments, clip)


def test_given_segments_must_cover_the_video():
    with pytest.raises(ValueError, match="cover 3 frames, but the video has 6"):
        Fixed(((0, 3),))(make_video(frames=6))


def test_bad_dyseg():
    with pytest.raises(ValueError, match="threshold must be a cosine similarity"):
        DySeg(threshold=9)
    with pytest.raises(ValueError, match="clips must be a whole number"):
        DySeg(clips=0)

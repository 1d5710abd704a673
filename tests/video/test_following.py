"""Frames of a long video one after another."""

import numpy as np
import pytest

from vidfold import tiny
from vidfold.video import follow, read, write

CLIP = tiny.render(seed=1_000_000_004)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("follow") / "clip.mp4"
    write(path, CLIP.frames, fps=2, scale=1, hold=12)  # 24 frames a second, 4 seconds
    return path


@pytest.mark.parametrize("fps", [2, 1000])
def test_frames_at_a_rate(path, fps):
    moments = list(follow(path, fps))
    assert len(moments) == min(4 * fps, 96)
    np.testing.assert_allclose([each.seconds for each in moments], np.arange(len(moments)) / min(fps, 24), atol=0.001)
    assert [(each.number, each.total) for each in moments] == [(n, len(moments)) for n in range(len(moments))]
    every = read(path, lambda index: np.arange(index.total))
    step = 24 // min(fps, 24)
    np.testing.assert_array_equal(np.stack([each.pixels for each in moments]), every.pixels[::step])


def test_going_on_after_a_time(path):
    moments = list(follow(path, 6))
    after = list(follow(path, 6, after=moments[12].seconds))
    assert [each.seconds for each in after] == [each.seconds for each in moments[13:]]
    assert (after[0].number, after[0].total) == (13, 24)
    assert list(follow(path, 6, after=100.0)) == []


def test_bad_input(path, tmp_path):
    with pytest.raises(ValueError, match="fps must be positive, got 0"):
        next(follow(path, 0))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="cut short"):
        list(follow(cut, 1))

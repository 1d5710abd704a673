"""Frames as lmms-eval's LLaVA models choose them."""

import numpy as np
import pytest
from PIL import Image

from vidfold.evaluation.frames import load
from vidfold.video import sample, write


def numbered(count):
    """Frames of one grey each, 8 levels apart."""
    return np.broadcast_to(8 * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3)).copy()


def shown(frames):
    """Which of the numbered frames these are."""
    return np.round(frames.pixels.mean((1, 2, 3)) / 8).astype(int).tolist()


@pytest.fixture(scope="module")
def five_a_second(tmp_path_factory):
    """24 frames, 5 a second: 4.8 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, numbered(24), fps=5)
    return str(path)


def test_evenly(five_a_second):
    frames = load(five_a_second, 7, every_second=False)
    assert shown(frames) == np.linspace(0, 23, 7, dtype=int).tolist()
    assert np.array_equal(frames.pixels, sample(five_a_second, 7).pixels)


def test_frames_repeat_when_there_are_too_few(five_a_second):
    frames = load(five_a_second, 30, every_second=False)
    assert shown(frames) == np.linspace(0, 23, 30, dtype=int).tolist()
    assert len(frames.timestamps) == 30


def test_one_a_second(five_a_second):
    frames = load(five_a_second, 64, every_second=True)
    assert shown(frames) == [0, 5, 10, 15, 20]
    assert frames.timestamps == pytest.approx([0, 1, 2, 3, 4], abs=0.01)


def test_evenly_where_seconds_are_too_many(five_a_second):
    assert shown(load(five_a_second, 4, every_second=True)) == [0, 7, 15, 23]
    assert shown(load(five_a_second, 5, every_second=True)) == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("every_second", [True, False])
def test_a_folder_of_pictures(tmp_path, every_second):
    for number, picture in enumerate(numbered(10)):
        Image.fromarray(picture).save(tmp_path / f"{number:05d}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    frames = load(str(tmp_path), 4, every_second=every_second)
    assert shown(frames) == [0, 3, 6, 9]
    assert frames.timestamps.tolist() == [0, 1, 2, 3]
    assert frames.duration == pytest.approx(10 / 3)


def test_error_names_a_file_that_is_not_a_video(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        load(str(tmp_path), 4, every_second=False)
    with pytest.raises(ValueError, match="does not exist"):
        load(str(tmp_path / "clip.mp4"), 4, every_second=True)
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a picture of .* cannot be read"):
        load(str(tmp_path), 4, every_second=False)

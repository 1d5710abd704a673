"""Frames of a benchmark's videos, chosen as lmms-eval's own LLaVA models choose them."""

import dataclasses
from pathlib import Path

import numpy as np

from vidfold.video import Frames, Index, read

PICTURES_A_SECOND = 3.0
"""Frame rate of a folder of pictures, as in MVBench (TVQA)."""


def load(path: str, most: int, *, every_second: bool) -> Frames:
    """Frames of a video file, or of a folder of pictures.

    Even sampling is ``numpy.linspace`` over all frames, rounded down, with the first and the last; a short video gives
    some frames twice. ``every_second`` takes one frame a second from the first on, or samples evenly if these would be
    more than ``most``.

    A folder's pictures are taken in the order of their names; lmms-eval takes them as the file system lists them.

    Args:
        path: of the video.
        most: number of frames; with ``every_second`` at most so many.
        every_second: whether to take one frame a second.

    Raises:
        ValueError: no such video, or one that does not decode.
        MissingExtra: PyAV is not installed.
    """
    pictures = Path(path).is_dir()
    frames = read(path, lambda index: _places(index, most, each_second=every_second and not pictures))
    if not pictures:
        return frames
    slower = frames.fps / PICTURES_A_SECOND
    times, duration = frames.timestamps * slower, frames.duration * slower
    return dataclasses.replace(frames, timestamps=times, duration=duration, fps=PICTURES_A_SECOND)


def _places(index: Index, most: int, *, each_second: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if each_second:
        seconds = np.arange(0, index.total, max(1, round(index.fps)))
        if len(seconds) <= most:
            return seconds
    return np.linspace(0, index.total - 1, most).astype(np.int64)

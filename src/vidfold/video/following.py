"""Frames of a long video one after another, at a constant rate, without holding them."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from vidfold.checks import check_positive
from vidfold.video.decoding import Differs
from vidfold.video.index import Index
from vidfold.video.sampling import MOST_LOST, opened


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame of a video that goes on.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        seconds: when it is shown.
        number: how many frames at this rate come before it.
        total: how many there are.
    """

    pixels: NDArray[np.uint8]
    seconds: float
    number: int
    total: int


def follow(
    path: str | PathLike[str], fps: float, *, after: float | None = None, stream: int | None = None
) -> Generator[Moment, None, None]:
    """The frames that are shown every 1 / ``fps`` seconds; one that is shown for longer comes once.

    Args:
        path: as `vidfold.video.sample` takes it.
        fps: frames a second.
        after: seconds; only frames that are shown later; None: all.
        stream: number of the video stream in the file; None takes the one that FFmpeg takes as best.

    Raises:
        ValueError: what `vidfold.video.sample` raises, or a rate that is not positive.
    """
    check_positive("fps", fps)
    with opened(path, stream) as video:
        while True:
            if video.index.lost > MOST_LOST:
                raise ValueError(f"{video.name} is damaged or cut short: {video.index.lost:.0%} of it is missing")
            positions = _positions(video.index, fps)
            seconds = [video.index.seconds(int(video.index.ticks[each])) for each in positions.tolist()]
            start = 0 if after is None else int(np.searchsorted(seconds, after, side="right"))
            try:
                for number, (tick, pixels) in enumerate(video.at(positions[start:].tolist()), start=start):
                    after = video.index.seconds(tick)
                    yield Moment(pixels, after, number, len(positions))
                return
            except Differs:  # the index was replaced: go on behind the last frame
                continue


def _positions(index: Index, fps: float) -> NDArray[np.int64]:
    """Positions of the frames that are shown at 0, 1 / fps, 2 / fps... seconds, each once."""
    times = np.arange(max(1, math.ceil(index.duration * fps - 1e-6))) / fps
    ticks = index.ticks[0] + times / float(index.base)
    found: NDArray[np.int64] = np.searchsorted(index.ticks, ticks + 0.5, side="right") - 1
    return np.unique(found.clip(0, index.total - 1))

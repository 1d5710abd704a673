"""Sample frames from a video."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidfold.checks import check_count, check_known
from vidfold.video.choosing import CHOOSERS, WAYS, Chooser, looked_at
from vidfold.video.decoding import Decoder, Differs
from vidfold.video.index import Index
from vidfold.video.pictures import Pictures, files_of, webp_of
from vidfold.video.sources import Source

_LOG = logging.getLogger(__name__)
Positions = NDArray[np.int64]

MOST_LOST = 0.1
"""Share of a video that may be missing or damaged."""


@dataclass(frozen=True, eq=False, repr=False)
class Frames:
    """Frames sampled from a video.

    Attributes:
        pixels: (F, H, W, 3) uint8 RGB, upright, in the shape in which the video is displayed.
        timestamps: (F,) float64, seconds since the first frame of the video.
        duration: seconds from the first frame to the end of the last.
        fps: average frames per second: ``total / duration``.
        total: number of frames of the video.
        decoded: how many frames were decoded to get these.
        notes: what a user should know: fewer frames than asked for, or a damaged file.
    """

    pixels: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    duration: float
    fps: float
    total: int
    decoded: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[1:3]
        span = f"{self.timestamps[0]:.2f} to {self.timestamps[-1]:.2f} s of {self.duration:.2f} s" if len(self) else "-"
        return f"Frames({len(self)} frames of {width} x {height}, {span}, {self.fps:.3g} a second)"

    @property
    def metadata(self) -> dict[str, Any]:
        """What a processor of transformers takes as the ``video_metadata`` of these frames.

        Processors divide indices by the rate; an index here is whatever gives the frame's own time.
        """
        height, width = self.pixels.shape[1:3]
        return {
            "total_num_frames": self.total,
            "fps": self.fps,
            "duration": self.duration,
            "width": width,
            "height": height,
            "frames_indices": (self.timestamps * self.fps).tolist(),
        }


def sample(
    path: str | PathLike[str],
    frames: int,
    *,
    choose: Chooser | str = "even",
    stream: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Frames:
    """Sample frames over a whole video, evenly unless said otherwise.

    Takes evenly spaced times from the first frame to the last, both included, and the frame shown at each time. At a
    constant frame rate this is the usual ``linspace(0, total - 1, frames)``, rounded down. At a variable rate it is
    even in time, and a frame shown for long may occur twice. ``frames=1`` gives the first frame. A video with fewer
    frames gives all of them.

    Long files are not decoded completely: the decoder seeks to the last keyframe before each time.

    Args:
        path: a file that FFmpeg can read, an animated WebP, a folder of pictures, a pattern of numbered pictures such
            as ``img_%04d.png``, or an address that fsspec can read. Pictures without times are shown at 25 a second.
        frames: number of frames F, at least 1.
        choose: "even"; "scenes", so that every shot has its share; "novel", more where the video changes; or a
            `vidfold.video.choosing.Chooser`. All but "even" look at eight times as many frames first.
        stream: number of the video stream in the file; None takes the one that FFmpeg takes as best.
        progress: called with (done, F) after each frame, or with (done, all of both passes).

    Raises:
        ValueError: the file is missing, empty or not a video, or more than a tenth of it is missing or damaged.
        MissingExtra: a package that reads it is not installed.
    """
    check_count("frames", frames)
    if isinstance(choose, str):
        check_known("unknown way to choose frames", choose, WAYS)
    chooser = CHOOSERS.get(choose) if isinstance(choose, str) else choose

    def wanted(video: Decoder | Pictures) -> Positions:
        if chooser is None or video.index.total <= frames:
            return even_positions(video.index, frames)
        return _chosen(video, chooser, frames, progress)

    found = _read(path, wanted, stream, progress)
    _LOG.debug("%r: %r, %d frames decoded", str(path), found, found.decoded)
    notes = list(found.notes)
    if len(found) < frames:
        notes.append(f"{frames} frames were asked for, and the video has {len(found)}: all of them are used")
    elif (different := len(np.unique(found.timestamps))) < frames:
        notes.append(f"{different} of the {frames} frames are different: some are shown for long and occur again")
    return Frames(**{**vars(found), "notes": tuple(notes)})


def available(path: str | PathLike[str], frames: int, *, stream: int | None = None) -> int:
    """``frames``, or the number of frames in the video if that is less; errors as in `sample`."""
    check_count("frames", frames)
    with opened(path, stream) as video:
        return min(frames, video.index.total)


def read(
    path: str | PathLike[str],
    choose: Callable[[Index], Positions],
    *,
    stream: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Frames:
    """Read chosen frames of a video; ``path``, ``stream``, ``progress`` and what is raised are as in `sample`.

    ``choose`` gives ascending positions of frames, from 0 to ``index.total - 1``, (F,) int64.
    """
    return _read(path, lambda video: choose(video.index), stream, progress)


def even_positions(index: Index, frames: int) -> Positions:
    """Positions of the frames shown at evenly spaced times from the first frame to the last; all if these are fewer.

    The rate is constant if no frame is half a frame away from its even time. At another rate, each time gets one tick
    of slack where frames are several ticks apart, since containers round times to ticks.
    """
    ticks, wanted, steps = index.ticks, np.arange(frames), max(frames - 1, 1)
    if frames >= index.total:
        return np.arange(index.total)
    even, period = np.linspace(ticks[0], ticks[-1], index.total, retstep=True)
    if (np.abs(ticks - even) < period / 2).all():
        return wanted * (index.total - 1) // steps
    times = ticks[0] + wanted * (ticks[-1] - ticks[0]) // steps + (np.diff(ticks).min() > 1)
    positions: Positions = np.searchsorted(index.ticks, times, side="right") - 1
    return positions


def _read(
    path: str | PathLike[str],
    choose: Callable[[Decoder | Pictures], Positions],
    stream: int | None,
    progress: Callable[[int, int], None] | None,
) -> Frames:
    with opened(path, stream) as video:
        try:
            return _taken(video, choose(video), progress)
        except Differs:
            return _taken(video, choose(video), progress)


def _chosen(
    video: Decoder | Pictures, chooser: Chooser, frames: int, progress: Callable[[int, int], None] | None
) -> Positions:
    """Positions that a chooser takes after a look at many frames, of which it keeps only the descriptions."""
    positions, looks = looked_at(video.index, frames), []
    for done, (_, picture) in enumerate(video.at(positions.tolist())):
        looks.append(chooser.look(picture))
        if progress is not None:
            progress(done + 1, len(positions))
    ticks = np.append(video.index.ticks[positions], video.index.end)
    seconds = np.diff(ticks) * float(video.index.base)
    taken: Positions = positions[chooser.choose(np.stack(looks), seconds, frames)]
    return taken


def opened(path: str | PathLike[str], stream: int | None) -> Decoder | Pictures:
    """What reads a video; see `sample`."""
    source = Source(fspath(path), stream)
    if (local := source.path) is not None:
        pictures = files_of(local, source.quoted)
        if pictures is None and local.is_file():
            pictures = webp_of(local, source.quoted)
        if pictures is not None:
            return pictures
    return Decoder(source)


def _taken(video: Decoder | Pictures, positions: Positions, progress: Callable[[int, int], None] | None) -> Frames:
    index, count = video.index, len(positions)
    if index.lost > MOST_LOST:
        raise ValueError(
            f"{video.name} is damaged or cut short: {index.lost:.0%} of it is missing, so only "
            f"{1 + int((count - 1) * (1 - index.lost))} of the {count} frames asked for could be decoded"
        )
    pixels, times = None, np.empty(count)
    for done, (tick, picture) in enumerate(video.at(positions.tolist())):
        if pixels is None:
            pixels = np.empty((count, *picture.shape), np.uint8)
        pixels[done], times[done] = picture, index.seconds(tick)
        if progress is not None:
            progress(done + 1, count)
    if pixels is None:
        raise ValueError(f"at least one frame must be chosen of {video.name}")
    notes = [f"{index.lost:.1%} of it is missing or damaged"] if index.lost > 0.01 else []
    return Frames(pixels, times, index.duration, index.fps, index.total, video.decoded, (*video.notes, *notes))

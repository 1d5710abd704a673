"""Sample frames from a video file, and write frames to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidfold import extras
from vidfold.checks import check_count
from vidfold.video.containers import Timeline
from vidfold.video.decoding import Decoder


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames sampled from a video.

    Attributes:
        pixels: (F, H, W, 3) uint8 RGB, upright.
        timestamps: (F,) float64, seconds since the first frame of the video.
        duration: seconds from the first frame to the end of the last.
        fps: average frames per second of the file.
        total: number of frames of the file; estimated from duration and rate if the header does not say.
        decoded: how many frames were decoded to get these.
    """

    pixels: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    duration: float
    fps: float
    total: int
    decoded: int

    def __len__(self) -> int:
        return len(self.pixels)


def sample(path: str | PathLike[str], frames: int, *, progress: Callable[[int, int], None] | None = None) -> Frames:
    """Sample frames evenly over a whole video file.

    Takes evenly spaced times from the first frame to the last, both included, and the frame shown at each time. At a
    constant frame rate this is the usual ``linspace(0, total - 1, frames)``, rounded down. At a variable rate it is
    even in time, and a frame shown for long may occur twice. ``frames=1`` gives the first frame.

    Long files are not decoded completely: the decoder seeks to the last keyframe before each time.

    Args:
        path: a file that FFmpeg can read.
        frames: number of frames F, from 1 to the number of frames in the file.
        progress: called with (done, frames) after each frame.

    Raises:
        ValueError: the file is missing, empty, cut short, damaged, not a video, or has fewer than ``frames`` frames.
        MissingExtra: PyAV is not installed.
    """
    check_count("frames", frames)
    path = _file(path)
    with Decoder(path) as decoder:
        timeline = decoder.timeline
        if (most := _available(decoder, frames)) < frames:
            raise ValueError(f"frames must be at most {most}, the number of frames in {str(path)!r}, got {frames}")
        ticks = even_ticks(timeline, frames)
        if timeline.reached < timeline.last:
            whole = sum(tick <= timeline.reached for tick in ticks)
            raise ValueError(
                f"{str(path)!r} is cut short: its header says {timeline.duration:.2f} s, but its data end after "
                f"{timeline.seconds(timeline.reached):.2f} s, so only {whole} of the {frames} frames asked for "
                "could be decoded"
            )
        shown, pictures = [], []
        for tick, picture in decoder.shown_at(ticks):
            shown.append(timeline.seconds(tick))
            pictures.append(picture)
            if progress is not None:
                progress(len(pictures), frames)
        return Frames(
            pixels=np.stack(pictures),
            timestamps=np.array(shown),
            duration=timeline.duration,
            fps=float(timeline.fps),
            total=timeline.total,
            decoded=decoder.decoded,
        )


def available(path: str | PathLike[str], frames: int) -> int:
    """``frames``, or the number of frames in the video file if that is less; errors as in `sample`."""
    check_count("frames", frames)
    with Decoder(_file(path)) as decoder:
        return _available(decoder, frames)


def _file(path: str | PathLike[str]) -> Path:
    """The path of a local file; a ValueError for a URL, since `Path` would change its slashes."""
    if "://" in str(path):
        raise ValueError(f"{str(path)!r} is a URL; give the path of a local video file")
    return Path(path)


def _available(decoder: Decoder, frames: int) -> int:
    # Counting may read the whole file, so it is skipped when the estimate is at least twice what is needed.
    return frames if frames <= decoder.timeline.total // 2 else min(frames, decoder.count())


def even_ticks(timeline: Timeline, frames: int) -> list[int]:
    """Ticks of ``frames`` evenly spaced times from the first frame to the last.

    Containers round timestamps to ticks. If frames are several ticks apart, each time gets one tick of slack, so that
    it still finds a frame whose timestamp was rounded up.
    """
    slack = 1 if timeline.period >= 4 else 0
    span, steps = timeline.last - timeline.first, max(frames - 1, 1)
    return [timeline.first + span * step // steps + slack for step in range(frames)]


def write(
    path: str | PathLike[str], frames: NDArray[np.uint8], *, fps: float = 2.0, scale: int = 1, hold: int = 1
) -> None:
    """Write frames as an h264 mp4 file of high quality.

    Args:
        path: file to write; must end in ``.mp4``.
        frames: (F, H, W, 3) uint8 RGB.
        fps: frames per second.
        scale: side in pixels of the square that each pixel becomes, so that encoding does not blur small pictures.
        hold: how often each frame is repeated; the frame rate of the file is ``fps * hold``.

    Raises:
        ValueError: wrong shape or dtype of frames, odd height or width after scaling, or the folder does not exist.
        MissingExtra: PyAV is not installed.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"frames must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    scale, hold = check_count("scale", scale), check_count("hold", hold)
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive, got {fps!r}")
    height, width = frames.shape[1] * scale, frames.shape[2] * scale
    if height % 2 or width % 2:
        raise ValueError(f"h264 needs even height and width, got {height} x {width}; use an even scale")
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"folder {str(path.parent)!r} does not exist; create it first")
    av = extras.load("av", "video")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001) * hold)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "medium"}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame.repeat(scale, 0).repeat(scale, 1), format="rgb24")
            for _ in range(hold):
                container.mux(stream.encode(picture))
        container.mux(stream.encode())

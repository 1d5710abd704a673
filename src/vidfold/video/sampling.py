"""Sample frames of a video file, and write frames to one."""

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
        timestamps: (F,) float64, seconds from the video's first frame to each.
        duration: seconds from the first frame to the end of the last.
        fps: average frames a second of the file.
        total: number of frames of the file; from its duration and rate where the header does not state it.
        decoded: how many frames had to be decoded for these.
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

    The rule: take ``frames`` times evenly from the first frame to the last, both included, and at each the frame
    then on display. At a constant frame rate that is the field's ``linspace(0, total - 1, frames)`` rounded down;
    at a variable one it is even in time, and a frame that stands for long may come twice. One frame is the first.

    Long files are not decoded whole: the decoder seeks to the last keyframe before each time.

    Args:
        path: a file that FFmpeg reads.
        frames: how many frames F, from 1 to the number the file has.
        progress: called with (done, frames) after each.

    Raises:
        ValueError: the file is missing, empty, cut short, damaged or no video, or has fewer frames.
        MissingExtra: PyAV is not installed.
    """
    check_count("frames", frames)
    path = Path(path)
    with Decoder(path) as decoder:
        timeline = decoder.timeline
        if (most := _available(decoder, frames)) < frames:
            raise ValueError(f"frames must be at most {most}, as many as {str(path)!r} has, got {frames}")
        ticks = even_ticks(timeline, frames)
        if timeline.reached < timeline.last:
            whole = sum(tick <= timeline.reached for tick in ticks)
            raise ValueError(
                f"{str(path)!r} is cut short: its header says {timeline.duration:.2f} s, its data end after "
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
    """``frames``, or the number of frames that a video file has where that is less; errors as in `sample`."""
    check_count("frames", frames)
    with Decoder(Path(path)) as decoder:
        return _available(decoder, frames)


def _available(decoder: Decoder, frames: int) -> int:
    # Counting may read the whole file, so not where there are plenty.
    return frames if frames <= decoder.timeline.total // 2 else min(frames, decoder.count())


def even_ticks(timeline: Timeline, frames: int) -> list[int]:
    """Ticks of ``frames`` even times from the first frame to the last.

    Containers round timestamps to their ticks; one tick of slack, where frames are several ticks apart, keeps a frame
    whose stamp was rounded up from being missed by the time that is meant for it.
    """
    slack = 1 if timeline.period >= 4 else 0
    span, steps = timeline.last - timeline.first, max(frames - 1, 1)
    return [timeline.first + span * step // steps + slack for step in range(frames)]


def write(
    path: str | PathLike[str], frames: NDArray[np.uint8], *, fps: float = 2.0, scale: int = 1, hold: int = 1
) -> None:
    """Write frames as an h264 mp4 of high quality.

    Args:
        path: where to write; must end in ``.mp4``.
        frames: (F, H, W, 3) uint8 RGB.
        fps: frames a second.
        scale: every pixel becomes a square of this many, so that small pictures survive the encoding.
        hold: every frame becomes this many frames of the file, whose rate is ``fps * hold``.

    Raises:
        ValueError: frames of another shape or dtype, sides that are odd after scaling, or no such folder.
        MissingExtra: PyAV is not installed.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"frames must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    scale, hold = check_count("scale", scale), check_count("hold", hold)
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive, got {fps!r}")
    height, width = frames.shape[1] * scale, frames.shape[2] * scale
    if height % 2 or width % 2:
        raise ValueError(f"h264 needs even sides, got {height} x {width}; scale by an even number")
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"folder {str(path.parent)!r} does not exist; make it first")
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

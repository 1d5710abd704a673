"""Frames of a benchmark's videos, chosen as lmms-eval's own LLaVA models choose them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from vidfold import extras
from vidfold.video import Frames, available, sample
from vidfold.video.decoding import Decoder

PICTURES = {".jpg", ".jpeg", ".png"}
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
    if Path(path).is_dir():
        return _pictures(Path(path), most)
    if every_second and (found := _seconds(Path(path), most)) is not None:
        return found
    held = available(path, most)
    frames = sample(path, held)
    if held == most:
        return frames
    index = even(held, most)
    return dataclasses.replace(frames, pixels=frames.pixels[index], timestamps=frames.timestamps[index])


def even(total: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """``most`` even indices below ``total``, with the first and the last, rounded down."""
    return np.linspace(0, total - 1, most).astype(np.int64)


def _seconds(path: Path, most: int) -> Frames | None:
    """One frame a second; None if these are more than ``most``."""
    with Decoder(path) as decoder:
        timeline = decoder.timeline
        step = max(1, round(timeline.fps))
        count = -(-timeline.total // step)
        if count > most:
            return None
        # Containers round timestamps to ticks: one tick of slack includes frames whose stamp was rounded up.
        slack = 1 if timeline.period >= 4 else 0
        ticks = [timeline.first + int(step * each * timeline.period) + slack for each in range(count)]
        shown = list(decoder.shown_at([min(tick, timeline.last) for tick in ticks]))
        return Frames(
            pixels=np.stack([picture for _, picture in shown]),
            timestamps=np.array([timeline.seconds(tick) for tick, _ in shown]),
            duration=timeline.duration,
            fps=float(timeline.fps),
            total=timeline.total,
            decoded=decoder.decoded,
        )


def _pictures(folder: Path, most: int) -> Frames:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not paths:
        raise ValueError(f"{str(folder)!r} holds no pictures (.jpg, .jpeg or .png)")
    pillow = extras.load("PIL.Image", "models")
    index = even(len(paths), most)
    try:
        pixels = np.stack([np.asarray(pillow.open(paths[each]).convert("RGB")) for each in index])
    except OSError as error:
        raise ValueError(f"a picture of {str(folder)!r} cannot be read: {error}") from error
    return Frames(
        pixels=pixels,
        timestamps=index / PICTURES_A_SECOND,
        duration=len(paths) / PICTURES_A_SECOND,
        fps=PICTURES_A_SECOND,
        total=len(paths),
        decoded=len(set(index.tolist())),
    )

"""Videos out of files and clips into them, with signs of life."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from vidfold.app.console import Progress

if TYPE_CHECKING:
    from vidfold.tiny import Clip
    from vidfold.video import Frames


def decode(path: str | Path, frames: int) -> tuple[Frames, float]:
    """Sampled frames, and the milliseconds that took."""
    from vidfold.video import sample

    start = time.perf_counter()
    sampled = sample(path, frames, progress=Progress("decoding frame"))
    return sampled, 1000 * (time.perf_counter() - start)


def film(clip: Clip, path: str | Path) -> None:
    """The clip as a file: large pixels and a usual frame rate, so that players and encoders treat it well."""
    from vidfold.video import write

    write(path, clip.frames, fps=2, scale=4, hold=12)

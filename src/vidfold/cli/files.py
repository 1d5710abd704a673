"""Read videos from files and write clips to files, with progress on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from vidfold.app.progress import Progress

if TYPE_CHECKING:
    from vidfold.tiny import Clip
    from vidfold.video import Frames
    from vidfold.video.choosing import Chooser


def decode(
    path: str | Path, frames: int, stream: int | None = None, choose: "str | Chooser" = "even"
) -> "tuple[Frames, float]":
    """Sampled frames, and the milliseconds that decoding took."""
    from vidfold.app.asking import timed
    from vidfold.video import sample

    return timed(sample, path=path, frames=frames, choose=choose, stream=stream, progress=Progress("decoding frame"))


def film(clip: "Clip", path: str | Path) -> None:
    """Write the clip with large pixels and a usual frame rate, which players and encoders handle well."""
    from vidfold.video import write

    write(path, clip.frames, fps=2, scale=4, hold=12)

"""Frames of a video, of a part of one, or of what an address holds."""

import dataclasses
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidfold import extras
from vidfold.checks import check_count
from vidfold.video import Frames, Index, read, sample
from vidfold.video.sampling import even_positions

TRIES, PAUSE = 3, 1.0
"""How often an address is tried, and seconds before the second try; each further pause is twice as long."""
FINAL = (401, 403, 404, 410)
"""What a web server says that will say the same next time: not allowed, not there."""


@dataclass(frozen=True)
class Cut:
    """What to decode: so many frames of a video, or of its part from ``start`` to ``end`` seconds."""

    path: str
    frames: int
    choose: str = "even"
    start: float | None = None
    end: float | None = None


def reason_of(error: BaseException) -> str:
    """An error in words: as it says, with its kind where it is no ValueError."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def decoded(cut: Cut, folder: Path) -> Frames:
    """The frames of a video, or of a part of it; times are counted from the start of the part.

    Raises:
        ValueError: what cannot be read, or a part without frames.
    """
    path = cut.path
    if "://" in path and not path.startswith("file://"):
        local = folder / "video"
        fetch(path, local)
        try:
            return decoded(dataclasses.replace(cut, path=str(local)), folder)
        except ValueError as error:
            raise ValueError(str(error).replace(repr(str(local)), repr(path))) from error
        finally:
            local.unlink()
    if cut.start is None and cut.end is None:
        return sample(path, cut.frames, choose=cut.choose)
    if cut.choose != "even":
        raise ValueError(f"frames of a part of a video are taken evenly, got choose={cut.choose!r}")
    return _part(cut)


def fetch(address: str, path: Path) -> None:
    """Load what an address holds into a file; a ValueError where that fails again and again."""
    fsspec = extras.load("fsspec", "batch")
    for number in range(TRIES):
        try:
            with fsspec.open(address, "rb") as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            return
        except Exception as error:  # each file system has errors of its own
            reason = error.__cause__ or error  # fsspec says of servers that do not answer that the file is not there
            final = isinstance(reason, FileNotFoundError | ImportError | ValueError)
            if final or getattr(reason, "status", None) in FINAL or number == TRIES - 1:
                raise ValueError(f"{address!r} cannot be read: {reason_of(reason)}") from error
            time.sleep(PAUSE * 2**number)


def _part(cut: Cut) -> Frames:
    """Frames of a part of a video, evenly."""
    check_count("frames", cut.frames)
    start, most = cut.start or 0.0, [0.0, 0]

    def places(index: Index) -> Any:
        seconds = (index.ticks - index.ticks[0]) * float(index.base)
        first = int(np.searchsorted(seconds, start))
        last = len(seconds) if cut.end is None else int(np.searchsorted(seconds, cut.end))
        if first >= last:
            end = "its end" if cut.end is None else f"{cut.end:g} s"
            raise ValueError(f"{cut.path!r} has no frame from {start:g} s to {end}: it is {index.duration:.1f} s long")
        most[:] = [min(index.duration, cut.end or index.duration), last - first]
        return first + even_positions(dataclasses.replace(index, ticks=index.ticks[first:last]), cut.frames)

    found = read(cut.path, places)
    duration, total = most[0] - start, int(most[1])
    return dataclasses.replace(found, timestamps=found.timestamps - start, duration=duration, total=total)

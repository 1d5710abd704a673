"""Processes that decode videos: one that hangs or crashes is replaced, and the model goes on meanwhile."""

import dataclasses
import gc
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from vidfold import extras
from vidfold.batch.processes import ended_by, started
from vidfold.checks import check_count
from vidfold.video import Frames, Index, read, sample
from vidfold.video.sampling import even_positions

TRIES, PAUSE = 3, 1.0
"""How often an address is tried, and seconds before the second try; each further pause is twice as long."""


@dataclass(frozen=True)
class Cut:
    """What to decode: so many frames of a video, or of its part from ``start`` to ``end`` seconds."""

    path: str
    frames: int
    choose: str = "even"
    start: float | None = None
    end: float | None = None


class Decoder:
    """A process that decodes one video at a time.

    Attributes:
        folder: of its own, for what is loaded from addresses.
        timeout: seconds that a video may take.
        retries: how often a video is tried again that ended the process.
    """

    def __init__(self, folder: Path, timeout: float, retries: int) -> None:
        self.folder, self.timeout, self.retries = folder, timeout, retries
        self._start()

    def frames(self, cut: Cut) -> Frames:
        """Decode; a ValueError says why a video cannot be."""
        reason = ""
        for _ in range(self.retries + 1):
            try:
                self._connection.send(cut)
                if self._connection.poll(self.timeout):
                    found = self._connection.recv()
                    if isinstance(found, str):
                        raise ValueError(found)
                    assert isinstance(found, Frames)
                    return found
                reason = f"was not decoded within {self.timeout:g} s"
            except (EOFError, OSError):
                self._process.join()
                reason = f"ended the process that decoded it: {ended_by(self._process.exitcode)}"
            self.close()
            self._start()
        raise ValueError(f"{cut.path!r} {reason}, {self.retries + 1} times")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process, self._connection = started(_serve, str(self.folder))


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
        except (FileNotFoundError, ImportError, ValueError) as error:
            raise ValueError(f"{address!r} cannot be read: {reason_of(error)}") from error
        except Exception as error:  # each file system has errors of its own
            if number == TRIES - 1:
                raise ValueError(f"{address!r} cannot be read: {reason_of(error)}") from error
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


def _serve(connection: Connection, folder: str) -> None:
    """Decode what comes, until the connection ends."""
    gc.freeze()  # what the imports made
    with suppress(EOFError, BrokenPipeError):
        while True:
            cut = connection.recv()
            try:
                found: Frames | str = decoded(cut, Path(folder))
            except Exception as error:  # whatever is wrong with a file, the next one may be good
                found = reason_of(error)
            connection.send(found)
            del found
            gc.collect()  # a codec is part of a cycle, and keeps its threads until it is collected

"""Time and peak memory of a piece of work, which are not measured in the same run."""

import ctypes
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from vidfold.folding.report import Clock

_T = TypeVar("_T")
_PROCESS = Path("/proc/self")


class Stopwatch(Clock):
    """A clock that starts after the device has finished all earlier work."""

    def __init__(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        super().__init__(device)


def timed(call: Callable[[], _T], device: torch.device) -> tuple[_T, float]:
    """Result of the call, and its milliseconds."""
    watch = Stopwatch(device)
    result = call()
    watch.mark()
    return result, watch.laps()[0]


class Peak:
    """Peak memory since the object was created, above the level at that time.

    On a CPU, freed memory that the allocator kept is first returned to the system, since its reuse would not be seen.
    The work must then allocate it again, so a run whose memory is measured is never a time sample.

    Attributes:
        source: name of the value that is read.
    """

    def __init__(self, device: torch.device) -> None:
        if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
            trim(0)
        self._peak: Callable[[], int]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.source, self._before = "torch.cuda.max_memory_allocated", torch.cuda.memory_allocated(device)
            self._peak = partial(torch.cuda.max_memory_allocated, device)
        elif _reset():
            self.source, self._before = "peak resident set (VmHWM)", _status("VmRSS")
            self._peak = partial(_status, "VmHWM")
        else:
            self.source = "largest resident set of the process so far (ru_maxrss): shows only new maxima"
            self._before, self._peak = _maximum(), _maximum

    def above(self) -> int:
        """Peak bytes minus the bytes in use before."""
        return max(0, self._peak() - self._before)


def _reset() -> bool:
    """Reset the process's peak to its current level; returns whether that worked."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    text = (_PROCESS / "status").read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _maximum() -> int:
    import resource  # not on Windows

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest

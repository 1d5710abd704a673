"""Peak memory of a piece of work, above the memory in use before."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"


class Peak:
    """Peak memory since the object was created, above the level at that time.

    On a CPU, freed memory that the allocator kept is first returned to the system, since its reuse would not be seen.
    The next work must allocate it again, which costs some milliseconds per hundred megabytes.

    Attributes:
        source: name of the value that is read.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        _trim()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
            self.source = "torch.cuda.max_memory_allocated"
        elif _reset():
            self._before = _status("VmRSS")
            self.source = "peak resident set (VmHWM)"
        else:
            self._before = _maximum()
            self.source = "largest resident set of the process so far (ru_maxrss): shows only new maxima"

    def above(self) -> int:
        """Peak bytes minus the bytes in use before."""
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _status("VmHWM") if "VmHWM" in self.source else _maximum()
        return max(0, peak - self._before)


def _trim() -> None:
    """Return freed memory to the system, if the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _reset() -> bool:
    """Reset the process's peak to its current level; returns whether that worked."""
    try:
        _CLEAR.write_text(_CLEAR_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _maximum() -> int:
    import resource  # not on Windows

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest

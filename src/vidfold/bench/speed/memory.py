"""Peak memory of a stretch of work, above what was in use before it."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"


class Peak:
    """Peak memory since it was made, above the level then.

    On a CPU, memory that was freed before but kept by the allocator is given back first, or its use again would not be
    seen; so what comes next pays for getting it again, some milliseconds a hundred megabytes.

    Attributes:
        source: in words, what is read.
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
            self.source = "largest resident set of the process so far (ru_maxrss): growth of a peak alone is seen"

    def above(self) -> int:
        """Bytes at the peak, less those in use before."""
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _status("VmHWM") if "VmHWM" in self.source else _maximum()
        return max(0, peak - self._before)


def _trim() -> None:
    """Give freed memory back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _reset() -> bool:
    """Whether the process's peak could be set back to its present level."""
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

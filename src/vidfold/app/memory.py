"""Peak memory and operations of a piece of work; such a run is never a time sample."""

import ctypes
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

_T = TypeVar("_T")
_PROCESS = Path("/proc/self")


class Peak:
    """Peak memory since the object was created, above the level at that time.

    On a CPU, freed memory that the allocator kept is first returned to the system, since its reuse would not be seen.

    Attributes:
        source: name of the value that is read.
    """

    def __init__(self, device: torch.device) -> None:
        if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
            trim(0)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.source, self._before = "torch.cuda.max_memory_allocated", torch.cuda.memory_allocated(device)
            self._peak = partial(torch.cuda.max_memory_allocated, device)
        else:
            name = "VmHWM" if _reset() else "VmRSS"  # VmRSS: the peak cannot be had
            self.source, self._before, self._peak = f"resident set ({name})", _status("VmRSS"), partial(_status, name)

    def above(self) -> int:
        """Peak bytes minus the bytes in use before."""
        return max(0, self._peak() - self._before)


def observed(call: Callable[[], _T], device: torch.device) -> tuple[_T, int, int]:
    """Result of the call, its peak bytes above the level before, and the operations of its matrix products.

    torch counts two operations per multiply-add, and all of the square of causal attention. It does not see kernels
    that are no operators of torch, such as those in Triton.
    """
    on_cpu: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        peak = Peak(device)
        result = call()
        return result, peak.above(), counter.get_total_flops()


def _attention(query: Any, key: Any, value: Any, *_: object, out_shape: object = None, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _reset() -> bool:
    """Reset the process's peak to its current level; returns whether that worked."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    facts = _PROCESS / "status"  # on Linux
    text = facts.read_text(encoding="ascii", errors="replace") if facts.is_file() else ""
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0

"""Time on a CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from vidfold.folding.report import Clock

_T = TypeVar("_T")


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

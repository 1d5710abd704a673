"""Time on a CPU and on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

_T = TypeVar("_T")


class Stopwatch:
    """Marks between laps; started when it is made, once the device has done all that it was given before.

    On a GPU the marks are events of its current stream, so that laps are the device's own time and taking one waits
    for nothing; elsewhere they are readings of ``time.perf_counter``.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[Any] = []
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.mark()

    def mark(self) -> None:
        """End a lap here."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(self._device))
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def laps(self) -> list[float]:
        """Milliseconds of every lap; waits for the device."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self._device.type == "cuda":
            self._marks[-1].synchronize()
            return [start.elapsed_time(end) for start, end in pairs]
        return [1000 * (end - start) for start, end in pairs]


def timed(call: Callable[[], _T], device: torch.device) -> tuple[_T, float]:
    """What the call returns, and its milliseconds."""
    watch = Stopwatch(device)
    result = call()
    watch.mark()
    return result, watch.laps()[0]

"""What a run measures, within a time limit."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

from vidfold.checks import check_count
from vidfold.reducers import InnerReducer, Reducer

GROUP = 2
"""Frames of each video per call of the vision tower on a CPU: a few seconds, so that all ways of running the tower
are measured under the same load of the machine."""
MARGIN = 1.25
"""Assumed duration of a repetition, relative to the run before."""
TOWER_SHARE = 0.8
"""Share of a case's time within which the first pass of the vision tower should finish."""


@dataclass(frozen=True)
class Case:
    """Frames per video, and videos per call."""

    frames: int
    batch: int

    @property
    def pictures(self) -> int:
        """Frames of all videos."""
        return self.frames * self.batch


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        reducer: the method.
        frames: frames per video; one case for each number.
        batches: videos per call; one case for each number, with every number of frames.
        runs: maximum repetitions of every stage.
        new_tokens: decoding steps timed after each first token.
        minutes: time limit; repetitions that do not fit are skipped, the first run of a stage never is.

    Raises:
        ValueError: an invalid value, or a method inside the language model, which has no separate fold.
    """

    reducer: Reducer
    frames: tuple[int, ...] = (32,)
    batches: tuple[int, ...] = (1,)
    runs: int = 3
    new_tokens: int = 16
    minutes: float = 9.0

    def __post_init__(self) -> None:
        for name in ("frames", "batches"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one number")
        for count in self.frames:
            check_count("frames", count)
        for count in self.batches:
            check_count("batch", count)
        check_count("runs", self.runs)
        check_count("new_tokens", self.new_tokens)
        minutes: object = self.minutes
        if isinstance(minutes, bool) or not isinstance(minutes, Real) or not 0 < float(minutes) < math.inf:
            raise ValueError(f"minutes must be a positive number, got {minutes!r}")
        if isinstance(self.reducer, InnerReducer):
            raise ValueError(
                f"{self.reducer.name} works inside the language model and has no separate fold to time; "
                "vidfold ask --compare times the whole answer"
            )

    def cases(self) -> list[Case]:
        """Every number of frames with every number of videos."""
        return [Case(frames, batch) for frames, batch in itertools.product(self.frames, self.batches)]

    def shares(self) -> list[float]:
        """Each case's share of the time left when it starts."""
        weights = [case.pictures for case in self.cases()]
        return [weight / sum(weights[index:]) for index, weight in enumerate(weights)]


def groups(frames: int, size: int | None) -> list[slice]:
    """Frames 0..F-1 in slices of at most ``size``; None: one slice."""
    size = frames if size is None else size
    return [slice(first, min(first + size, frames)) for first in range(0, frames, size)]


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The names in a different order each turn, so that none is always first or always after the same one."""
    first = turn % len(names)
    order = [*names[first:], *names[:first]]
    return order[::-1] if turn % 2 else order


def evenly(full: int, count: int) -> list[int]:
    """``count`` of the positions 0..full-1, evenly spaced; at most all of them."""
    count = min(count, full)
    return [(2 * place + 1) * full // (2 * count) for place in range(count)]


class Clock:
    """Time left of a limit."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._start = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left, negative after the limit."""
        return self.seconds - (time.monotonic() - self._start)

    def fits(self, seconds: float) -> bool:
        """Whether work that took ``seconds`` before fits again."""
        return MARGIN * seconds <= self.left


def mean(values: Iterable[float]) -> float:
    """The mean; 0 if there are no values."""
    every = list(values)
    return sum(every) / len(every) if every else 0.0

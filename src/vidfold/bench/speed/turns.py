"""All ways of one case: each is warmed up once, then all take turns, so that none is timed cold or alone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from vidfold.app.asking import timed
from vidfold.bench.speed.memory import observed
from vidfold.bench.speed.results import AUTHORS, Group
from vidfold.bench.speed.ways import Encode
from vidfold.models.base import Inputs

LEAST = 3
"""Least number of time samples of every stage."""

Tell = Callable[[str], None]
"""Called with a line of text: what comes next, and how long it is expected to take."""


@dataclass(frozen=True, eq=False)
class Turns:
    """The ways of running the vision tower on small groups of frames, and the stages after it.

    Attributes:
        towers: kind of tower -> function that runs it.
        groups: frames of all videos, and inputs, of each group.
        stages: name of a way -> function that runs its stages after the tower; the first run is its warm-up.
        device: the model's device.
        memory: kind of tower -> peak bytes of the first group.
        operations: kind of tower -> operations of the first group.
    """

    towers: dict[str, Encode]
    groups: Sequence[tuple[int, Inputs]]
    stages: dict[str, Callable[[], object]]
    device: torch.device
    memory: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    _group: dict[str, float] = field(default_factory=dict)
    """Kind of tower -> seconds of a group."""
    _turn: dict[str, float] = field(default_factory=dict)
    """Name of a way -> seconds of its stages after the tower."""

    def warm_up(self, end: float) -> list[str]:
        """Run the tower in every way on the first group, and all stages once.

        The authors' way is left out if it does not fit into memory, or if three samples of all ways do not fit into the
        time until ``end``.

        Returns:
            Why it is left out.
        """
        notes: list[str] = []
        for kind, encode in list(self.towers.items()):
            run = partial(observed, partial(encode, self.groups[0][1]), self.device)
            try:
                (_, self.memory[kind], self.operations[kind]), spent = timed(run)
                self._group[kind] = spent / 1000
            except torch.OutOfMemoryError:
                if kind != AUTHORS:
                    raise
                notes = self._without_authors(f"it does not fit into the memory of {self.device}")
        for name, run in self.stages.items():
            self._turn[name] = timed(run)[1] / 1000
        if AUTHORS in self.towers and self._least() > (left := end - time.monotonic()):
            notes = self._without_authors(
                f"three samples of every way take about {self._least():.0f} s, and {max(0.0, left):.0f} s are left"
            )
        return notes

    def take(self, runs: int, end: float, tell: Tell) -> list[Group]:
        """Take time samples in at most ``runs`` turns; after `LEAST` samples, what does not fit is left out.

        A turn is a pass of the tower over the groups, then the stages of every way. The tower's further samples are
        the first to be left out.
        """
        samples: list[Group] = []
        turn, group = sum(self._turn.values()), sum(self._group.values())
        tell(f"{len(self.stages)} ways in {LEAST} to {runs} turns: at least {self._least():.0f} s")
        for index in range(runs):
            if index >= LEAST and turn > end - time.monotonic():
                break
            for frames, part in self.groups:
                left = end - time.monotonic() - turn * (runs - index)
                if len(samples) < LEAST or group < left:
                    order = rotated(list(self.towers), len(samples))
                    samples.append(Group(frames, {kind: timed(partial(self.towers[kind], part))[1] for kind in order}))
            for name in rotated(list(self.stages), index):
                self.stages[name]()
            tell(f"turn {index + 1} of {runs} is done")
        return samples

    def _least(self) -> float:
        """Seconds that `LEAST` samples of everything take."""
        return LEAST * (sum(self._turn.values()) + sum(self._group.values()))

    def _without_authors(self, reason: str) -> list[str]:
        for each in (self.towers, self.stages, self.memory, self.operations, self._group, self._turn):
            each.pop(AUTHORS, None)
        return [f"The authors' way is left out: {reason}."]


def rotated(ways: Sequence[str], turn: int) -> list[str]:
    """The names in a different order each turn, so that none is always first or always after the same one."""
    first, back = turn % len(ways), turn % 2
    order = [*ways[first + back :], *ways[: first + back]]
    return order[::-1] if back else order

"""The suites: clips for choosing settings, for confirming a choice, and for reporting results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidfold.app.loading import EMBEDDED
from vidfold.bench.suites.cases import Case
from vidfold.bench.suites.entries import Entry
from vidfold.checks import check_count, check_ratio
from vidfold.reducers import METHODS, Identity
from vidfold.reducers.inner import InnerReducer
from vidfold.tiny.worlds import WORLDS

Cell = tuple[str, float]
"""A method and its requested retention."""
UNFOLDED: Cell = (Identity.name, 1.0)
"""All tokens."""
ALL = "all"
"""Stands for all methods that fold before the language model."""
RETENTIONS = (0.50, 0.25, 0.20, 0.15, 0.10, 0.05)
FRAMES = (8, 16, 32)
CLIPS = 200
"""Clips per world."""
MODELS = {read: name for name, read in EMBEDDED.items()}
"""What the language model read in training -> the model's name in `vidfold.app.loading`."""


@dataclass(frozen=True)
class Suite:
    """Clips of one split of some worlds, for both models.

    Attributes:
        name: name of the suite.
        split: split of its clips.
        worlds: worlds of its clips.
        purpose: one line, for reports.
    """

    name: str
    split: str
    worlds: tuple[str, ...]
    purpose: str

    def cases(self, clips: int = CLIPS, frames: Sequence[int] = FRAMES) -> tuple[Case, ...]:
        """One case per model and world."""
        check_count("clips", clips)
        return tuple(Case(model, world, self.split, clips, tuple(frames)) for model in MODELS for world in self.worlds)


SEARCH = Suite("search", "search", WORLDS[:1], "settings are chosen by these numbers, so they favour the chosen one")
"""For choosing settings.  First world only: nothing is ever tuned on the second."""
CONFIRM = Suite("confirm", "confirm", WORLDS, "checks a choice made on the search suite")
"""For checking a choice; if it does not hold, choose again on `SEARCH`, with more clips."""
FINAL = Suite("final", "final", WORLDS, "run once, after all choices; nothing was chosen by these numbers")
"""For reporting.  Run once, after all choices; never choose by it."""
SUITES = {suite.name: suite for suite in (SEARCH, CONFIRM, FINAL)}
"""Name -> suite."""


@dataclass(frozen=True)
class Plan:
    """What a suite compares.

    Attributes:
        suite: the clips.
        methods: names of the registry; all are compared with the first.
        retentions: shares of the tokens, in (0, 1], descending.
        clips: clips per world.
        frames: lengths of the clips, in turn.
    """

    suite: Suite
    methods: tuple[str, ...]
    retentions: tuple[float, ...] = RETENTIONS
    clips: int = CLIPS
    frames: tuple[int, ...] = FRAMES

    @classmethod
    def of(
        cls,
        suite: str,
        methods: Sequence[str],
        retentions: Sequence[float] | None = None,
        clips: int | None = None,
        frames: Sequence[int] = FRAMES,
    ) -> Plan:
        """A plan from names; duplicates are removed.

        Args:
            suite: a name in `SUITES`.
            methods: names of the registry, or "all": AOT, then all others that fold before the language model.
            retentions: None is `RETENTIONS`.
            clips: None is `CLIPS`.
            frames: lengths of the clips, in turn.

        Raises:
            ValueError: an unknown suite or method, a method inside the language model, or numbers out of range.
        """
        if suite not in SUITES:
            raise ValueError(f"unknown suite {suite!r}; there are: {', '.join(SUITES)}")
        names = dict.fromkeys(_all() if ALL in methods else methods)
        names.pop(Identity.name, None)
        shares = sorted({check_ratio("retention", share) for share in retentions or RETENTIONS}, reverse=True)
        if not names:
            raise ValueError(f"a suite compares methods, got {list(methods)}; all tokens are always measured")
        plan = cls(SUITES[suite], tuple(names), tuple(shares), CLIPS if clips is None else clips, tuple(frames))
        plan.cases()
        plan.entries()
        return plan

    def cases(self) -> tuple[Case, ...]:
        """One case per model and world."""
        return self.suite.cases(self.clips, self.frames)

    def entries(self) -> dict[Cell, Entry]:
        """Every method at every retention."""
        return {(method, share): Entry.named(method, share) for method in self.methods for share in self.retentions}

    def cells(self) -> tuple[Cell, ...]:
        """The unfolded cell, then all entries."""
        return (UNFOLDED, *self.entries())


def _all() -> list[str]:
    outside = [name for name, method in METHODS.items() if not issubclass(method, InnerReducer)]
    return sorted(outside, key=lambda name: (name != "aot", name))

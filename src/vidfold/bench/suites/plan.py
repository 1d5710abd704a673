"""The suites: on which clips settings are chosen, the choice is confirmed, and results are reported."""

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
"""A method and the retention asked of it."""
UNFOLDED: Cell = (Identity.name, 1.0)
"""All tokens."""
ALL = "all"
"""Stands for every method that folds before the language model."""
RETENTIONS = (0.50, 0.25, 0.20, 0.15, 0.10, 0.05)
FRAMES = (8, 16, 32)
CLIPS = 200
"""Of every world."""
MODELS = {read: name for name, read in EMBEDDED.items()}
"""What the language model read in training -> the model's name in `vidfold.app.loading`."""


@dataclass(frozen=True)
class Suite:
    """Clips of one split of some worlds, for both models.

    Attributes:
        name: of the suite.
        split: that its clips are of.
        worlds: that they show.
        purpose: one line, for reports.
    """

    name: str
    split: str
    worlds: tuple[str, ...]
    purpose: str

    def cases(self, clips: int = CLIPS, frames: Sequence[int] = FRAMES) -> tuple[Case, ...]:
        """Every model with every world."""
        check_count("clips", clips)
        return tuple(Case(model, world, self.split, clips, tuple(frames)) for model in MODELS for world in self.worlds)


SEARCH = Suite("search", "search", WORLDS[:1], "settings are chosen by these numbers, so they flatter what was chosen")
"""To choose settings by.  Of the first world alone: nothing is ever tuned on the second."""
CONFIRM = Suite("confirm", "confirm", WORLDS, "checks a choice that was made on the search suite")
"""To check a choice that was made; where it does not hold, go back and choose by `SEARCH`, on more clips."""
FINAL = Suite("final", "final", WORLDS, "run once, when everything is chosen; nothing was chosen by these numbers")
"""To report.  Run once, when everything is chosen; never choose by it."""
SUITES = {suite.name: suite for suite in (SEARCH, CONFIRM, FINAL)}
"""Name -> suite."""


@dataclass(frozen=True)
class Plan:
    """What a suite compares.

    Attributes:
        suite: the clips.
        methods: names of the registry; the others are compared with the first.
        retentions: shares of the tokens, in (0, 1], from the most to the fewest.
        clips: of every world.
        frames: lengths that the clips take in turn.
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
        """From names, each method and retention once.

        Args:
            suite: a name in `SUITES`.
            methods: names of the registry, or "all": AOT, then all others that a panel can fold by.
            retentions: None is `RETENTIONS`.
            clips: None is `CLIPS`.
            frames: lengths that the clips take in turn.

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
        """Every model with every world."""
        return self.suite.cases(self.clips, self.frames)

    def entries(self) -> dict[Cell, Entry]:
        """Every method at every retention."""
        return {(method, share): Entry.named(method, share) for method in self.methods for share in self.retentions}

    def cells(self) -> tuple[Cell, ...]:
        """All tokens, then the entries."""
        return (UNFOLDED, *self.entries())


def _all() -> list[str]:
    outside = [name for name, method in METHODS.items() if not issubclass(method, InnerReducer)]
    return sorted(outside, key=lambda name: (name != "aot", name))

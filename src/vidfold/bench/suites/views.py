"""Estimates, paired differences and significant differences over some cases of a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vidfold.bench.suites.cases import Case
from vidfold.bench.suites.plan import Cell
from vidfold.bench.suites.running import Results
from vidfold.bench.suites.statistics import Estimate, holm, kind_accuracy, mean_accuracy, other_clips, same_clips
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS

LEVEL = 0.05
"""Maximum probability of any false sign in a family of comparisons."""

Measure = Callable[[Score], Estimate]
MEAN: Mapping[str, Measure] = {"mean": mean_accuracy}
BY_KIND: Mapping[str, Measure] = {kind: partial(kind_accuracy, kind=kind) for kind in KINDS}

_UNEQUAL = 0.05


@dataclass(frozen=True, eq=False)
class View:
    """Cases evaluated together: one model on one world, or all."""

    title: str
    results: Results
    cases: tuple[Case, ...]

    def estimate(self, cell: Cell, measure: Measure = mean_accuracy) -> Estimate:
        """Mean over the cases.  Models on the same clips are averaged clip by clip; worlds are independent."""
        worlds = dict.fromkeys(case.world for case in self.cases)
        return other_clips([same_clips([*self._of(world, cell, measure)]) for world in worlds])

    def difference(self, cell: Cell, measure: Measure = mean_accuracy) -> Estimate:
        """Paired difference to the first method at the same retention."""
        return self.estimate(cell, measure) - self.estimate((self.results.plan.methods[0], cell[1]), measure)

    def kept(self, cell: Cell) -> float:
        """Mean measured share of the tokens that the language models read."""
        shares = [float(self.results.scores[case][cell].kept.mean()) for case in self.cases]
        return sum(shares) / len(shares)

    def unequal(self, cell: Cell) -> bool:
        """Whether `kept` differs from the requested share by more than 5 %."""
        return abs(self.kept(cell) / cell[1] - 1) > _UNEQUAL

    def _of(self, world: str, cell: Cell, measure: Measure) -> Iterator[Estimate]:
        return (measure(self.results.scores[case][cell]) for case in self.cases if case.world == world)


def views(results: Results) -> tuple[View, list[View]]:
    """A view of all cases together, and one view per case."""
    cases = results.plan.cases()
    alone = [View(f"Model {case.model}, {case.world} world", results, (case,)) for case in cases]
    worlds = "both worlds" if len({case.world for case in cases}) > 1 else f"{cases[0].world} world"
    return View(f"Both models, {worlds}", results, cases), alone


Signs = Mapping[tuple[View, Cell, str], int]
"""View, cell and measure -> 1 where the cell is significantly above the first method, -1 below, 0 neither."""


def signs(family: Sequence[View], cells: Sequence[Cell], measures: Mapping[str, Measure] = MEAN) -> Signs:
    """Compare cells with the first method, with Holm's correction over the whole family of comparisons."""
    first = family[0].results.plan.methods[0]
    others = [cell for cell in cells if cell[0] != first]
    gaps = {
        (view, cell, name): view.difference(cell, measure)
        for view in family
        for cell in others
        for name, measure in measures.items()
    }
    adjusted = holm([gap.p_value for gap in gaps.values()])
    return {
        key: (1 if gap.value > 0 else -1) if p_value <= LEVEL else 0
        for (key, gap), p_value in zip(gaps.items(), adjusted, strict=True)
    }

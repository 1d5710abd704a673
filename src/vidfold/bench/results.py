"""What a bench measures, and what came out: rows, estimates, and tested differences between settings."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidfold.app.loading import VideoModel
from vidfold.app.writing import Row
from vidfold.bench.clips import Sample, Source
from vidfold.bench.scores import Arrays, Estimate, accuracy, answered, marks, other_clips, same_clips
from vidfold.bench.settings import FULL, Fold, Setting
from vidfold.tokens import VideoTokens

Values = Mapping[str, float]
"""Measured values of one clip, by name."""
Measure = Callable[[Sample, VideoTokens, Sequence[Fold]], Sequence[Values]]
"""Values of every fold of one clip, by name; a ValueError if one of the folds cannot be measured.

Names of `vidfold.bench.summary.COLUMNS`, and those that `vidfold.bench.scores.accuracy` reads, come into the table;
others only into the file of clips."""
Key = tuple[Setting, str | None]
"""A setting and a kind of question; None is the mean over the kinds."""

MEASURED = "measured"
"""``status`` of a measured cell; for other cells it is the reason why they were not measured."""


@dataclass(frozen=True, eq=False)
class Bench:
    """One model with one set of clips."""

    loaded: VideoModel
    source: Source


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured.

    Attributes:
        settings: the settings; `FULL` is the first.
        benches: models with their clips.
        measures: what is measured of every fold.
        file: name of the CSV file.
        suite: name of the suite, or empty.
        seed: seed of random methods; each clip gets a different one.
        max_new_tokens: maximum length of the answers that models are compared on.
    """

    settings: tuple[Setting, ...]
    benches: tuple[Bench, ...]
    measures: tuple[Measure, ...]
    file: str
    suite: str = ""
    seed: int = 0
    max_new_tokens: int = 16

    @property
    def folded(self) -> list[Setting]:
        """The settings without `FULL`."""
        return [each for each in self.settings if each != FULL]


@dataclass(frozen=True, eq=False)
class Cell:
    """One setting of one bench: its row, and the values of its clips, none if it could not run."""

    row: Row
    values: Arrays


@dataclass(frozen=True, eq=False)
class Results:
    """The cells of a plan, bench by bench in the order of its settings."""

    plan: Plan
    cells: Mapping[tuple[Bench, Setting], Cell]

    def only(self, bench: Bench) -> "Results":
        """The results of one bench."""
        return Results(replace(self.plan, benches=(bench,)), self.cells)

    @property
    def rows(self) -> list[Row]:
        """The rows of all cells."""
        return [self.cells[bench, each].row for bench in self.plan.benches for each in self.plan.settings]

    @property
    def measured(self) -> dict[Bench, list[Row]]:
        """The rows of every bench that were measured."""
        rows = {bench: self.only(bench).rows for bench in self.plan.benches}
        return {bench: [row for row in own if row["status"] == MEASURED] for bench, own in rows.items()}

    def estimate(self, setting: Setting, kind: str | None = None) -> Estimate:
        """Right answers, mean over the benches; NaN where one has none.

        Models on the same clips are averaged clip by clip; different clips are independent.
        """
        clips: dict[str, list[Estimate]] = {}
        for bench in self.plan.benches:
            values, nothing = (
                self.cells[bench, setting].values,
                Estimate(*np.full((3, len(bench.source.clips)), np.nan)),
            )
            clips.setdefault(bench.source.name, []).append(accuracy(values, kind) if answered(values) else nothing)
        return other_clips([same_clips(each) for each in clips.values()])

    def compared(
        self, pairs: Iterable[tuple[Setting, Setting]], kinds: Sequence[str | None] = (None,)
    ) -> dict[Key, tuple[Estimate, str]]:
        """The paired difference of every pair with its mark, by the first of the pair: one family of comparisons."""
        asked = list(itertools.product(pairs, kinds))
        gaps = [self.estimate(one, kind) - self.estimate(other, kind) for (one, other), kind in asked]
        found = zip(asked, gaps, marks(gaps), strict=True)
        return {(one, kind): (gap, mark) for ((one, _), kind), gap, mark in found}

    def kept(self, setting: Setting) -> float:
        """Mean measured share of the tokens that the language models read; NaN if the method could not run."""
        return self._mean(setting, "layer_retention")

    def unequal(self, setting: Setting) -> bool:
        """Whether `kept` differs from the requested share by more than 5 %, and by more than one token."""
        gap = abs(self.kept(setting) - setting.retention)
        return gap > 0.05 * setting.retention and gap * self._mean(setting, "tokens_before") > 1

    def _mean(self, setting: Setting, column: str) -> float:
        rows = [self.cells[bench, setting].row for bench in self.plan.benches]
        return float(np.mean([float(row[column]) if row["status"] == MEASURED else np.nan for row in rows]))

"""Estimates over some benches of a run, and marks for the differences between settings."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidfold.bench.run import MEASURED, Bench, Results
from vidfold.bench.scores import Estimate, accuracy, marks, other_clips, same_clips
from vidfold.bench.settings import Setting

Key = tuple[Setting, str | None]
"""A setting and a kind of question; None is the mean over the kinds."""


@dataclass(frozen=True, eq=False)
class View:
    """Benches evaluated together: one model on one set of clips, or all of a suite."""

    title: str
    results: Results
    benches: tuple[Bench, ...]

    def estimate(self, setting: Setting, kind: str | None = None) -> Estimate:
        """Mean over the benches; NaN where one has no right answers.

        Models on the same clips are averaged clip by clip; different clips are independent.
        """
        clips: dict[str, list[Estimate]] = {}
        for bench in self.benches:
            score = self.results.cells[bench, setting].score
            nothing = Estimate(*np.full((3, len(bench.source.clips)), np.nan))
            clips.setdefault(bench.source.name, []).append(nothing if score is None else accuracy(score, kind))
        return other_clips([same_clips(each) for each in clips.values()])

    def compared(
        self, pairs: Iterable[tuple[Setting, Setting]], kinds: Sequence[str | None] = (None,)
    ) -> Mapping[Key, tuple[Estimate, str]]:
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
        rows = [self.results.cells[bench, setting].row for bench in self.benches]
        return float(np.mean([float(row[column]) if row["status"] == MEASURED else np.nan for row in rows]))

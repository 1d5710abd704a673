"""Estimates over some benches of a run, and marks for the differences between settings."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidfold.bench.run import Bench, Results
from vidfold.bench.scores import LEVEL, MARGIN, Estimate, accuracy, marks, other_clips, same_clips
from vidfold.bench.settings import FULL, Setting
from vidfold.bench.writing import Row

Marks = Mapping[tuple[Setting, str | None], str]
"""Setting and kind of question (None: the mean) -> its mark."""

SIGNS = (
    "▲ ▼: significantly above or below; ≈: equivalent, the difference is significantly smaller than "
    f"{100 * MARGIN:g} points. A difference without a mark was not told from zero, which does not make it zero. Tests "
    f"exchange the two settings in random clips (▲ ▼; two-sided) or are two one-sided normal tests (≈), at {LEVEL:.0%} "
    "after Holm's correction over all comparisons of a table."
)
ERRORS = (
    "±: one standard error over clips; questions about one clip are not independent. ± 0.0: all clips agree, which "
    "does not prove that others would. Without ±: too few clips for an error."
)

_SPLITS = {
    "search": "Clips of the search split: AOT's settings were chosen on them, so they favour it.",
    "confirm": "Clips of the confirm split: AOT's settings were checked on them.",
    "final": "Clips of the final split: no setting of any method was chosen on them. Do not choose by them.",
}
_FEWEST = 6  # clips; the smallest p-value is 2 / 2**clips
_PROVENANCE = ("vidfold", "code", "torch", "transformers", "python", "processor", "threads", "device", "dtype")


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

    def difference(self, one: Setting, other: Setting, kind: str | None = None) -> Estimate:
        """The paired difference of two settings."""
        return self.estimate(one, kind) - self.estimate(other, kind)

    def marks(self, pairs: Iterable[tuple[Setting, Setting]], kinds: Sequence[str | None] = (None,)) -> Marks:
        """Marks of the differences of pairs, by the first of each pair; they are one family of comparisons."""
        asked = list(itertools.product(pairs, kinds))
        found = marks([self.difference(one, other, kind) for (one, other), kind in asked])
        return {(one, kind): mark for ((one, _), kind), mark in zip(asked, found, strict=True)}

    def kept(self, setting: Setting) -> float:
        """Mean measured share of the tokens that the language models read."""
        scores = (self.results.cells[bench, setting].score for bench in self.benches)
        return float(np.mean([math.nan if score is None else score.kept.mean() for score in scores]))

    def unequal(self, setting: Setting) -> bool:
        """Whether `kept` differs from the requested share by more than 5 %."""
        return abs(self.kept(setting) / setting.retention - 1) > 0.05


def against_full(settings: Iterable[Setting]) -> list[tuple[Setting, Setting]]:
    """Every folded setting with all tokens."""
    return [(each, FULL) for each in settings if each != FULL]


def about_clips(results: Results) -> list[str]:
    """What the clips were used for, and a note where they are too few."""
    found = dict.fromkeys(getattr(bench.source, "split", "") for bench in results.plan.benches)
    fewest = min(len(bench.source.clips) for bench in results.plan.benches)
    notes = [_SPLITS[split] for split in found if split]
    if fewest == 1:
        notes.append("One clip: no error can be told, and no difference can be significant.")
    elif fewest < _FEWEST:
        notes.append(f"{fewest} clips: errors are rough, and no difference within them can be significant.")
    return notes


def provenance(rows: Sequence[Row]) -> list[str]:
    """Versions and machines, one line for each combination, and a warning if the code differs."""
    lines = ["Measured with " + ", ".join(f"{name} {row[name]}" for name in _PROVENANCE) + "." for row in rows]
    return [*dict.fromkeys(lines), *mixed(rows)]


def mixed(rows: Sequence[Row]) -> list[str]:
    """A warning if the rows were measured with different versions of the package."""
    codes = sorted({row["code"] for row in rows})
    if len(codes) < 2:
        return []
    return [
        f"Caution: these rows were measured with {len(codes)} versions of vidfold ({', '.join(codes)}); the code of "
        "each method has not changed. Use an empty folder to measure all with one version."
    ]

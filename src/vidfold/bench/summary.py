"""Summary of many clips as one row of numbers with standard errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from vidfold.bench.answers import MEAN, accuracy, paired_differences
from vidfold.bench.measuring import Outcome, Prepared
from vidfold.bench.records import Row
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS

MEANS = ("quantisation_error", "coverage", "transport", "divergence", "top1")
"""Measures with a mean over clips and its standard error in each row."""
RATED = (MEAN, *KINDS)
COUNTS = ("clips", "questions", "tokens_before", "tokens_after", "tokens_least", "tokens_most")
SHARES = ("retention", "layer_retention", "fold_ms")
COLUMNS = (
    *COUNTS,
    *SHARES,
    *(f"{name}{end}" for name in MEANS for end in ("", "_se")),
    *(f"accuracy_{kind}{end}" for kind in RATED for end in ("", "_se")),
    *(f"unfolded_{kind}" for kind in RATED),
    *(f"difference_{kind}{end}" for kind in RATED for end in ("", "_low", "_high")),
)
"""Columns of measured values in a `Row`; an empty string means not measured."""
CLIP_COLUMNS = (
    "clip",
    "tokens_before",
    "tokens_after",
    "layer_retention",
    "fold_ms",
    *MEANS,
    *(f"{what}_{kind}" for what in ("right", "asked") for kind in KINDS),
)
"""Columns of the rows from `clip_rows`."""


def summary(outcomes: Sequence[Outcome], clips: Sequence[Prepared], seed: int) -> Row:
    """One setting on all clips.

    Retentions are measured: K / (F*N) over all clips, and the share that the language model's layers read. ``fold_ms``
    is the median. Errors are standard errors over clips, empty for a single clip; ``difference`` is the accuracy minus
    the unfolded one, with its 95 % interval.
    """
    before = [outcome.tokens_before for outcome in outcomes]
    after = [outcome.tokens_after for outcome in outcomes]
    numbers: dict[str, float | None] = {
        "clips": len(outcomes),
        "questions": sum(len(clip.reference.first) for clip in clips),
        "tokens_before": statistics.fmean(before),
        "tokens_after": statistics.fmean(after),
        "tokens_least": min(after),
        "tokens_most": max(after),
        "retention": sum(after) / sum(before),
        "layer_retention": sum(outcome.layer_retention * outcome.tokens_before for outcome in outcomes) / sum(before),
        "fold_ms": _of_all(statistics.median, [outcome.fold_ms for outcome in outcomes]),
    }
    several = len(outcomes) > 1
    for name in MEANS:
        values = [getattr(outcome, name) for outcome in outcomes]
        numbers[name] = _of_all(statistics.fmean, values)
        numbers[f"{name}_se"] = _of_all(_standard_error, values) if several else None
    if all(outcome.right is not None for outcome in outcomes):
        numbers |= _rated(outcomes, clips, seed, several)
    return {column: written(numbers.get(column)) for column in COLUMNS}


def clip_rows(outcomes: Sequence[Outcome], clips: Sequence[Prepared]) -> list[Row]:
    """One row per clip."""
    rows: list[Row] = []
    for outcome, clip in zip(outcomes, clips, strict=True):
        row = {column: written(getattr(outcome, column, None)) for column in CLIP_COLUMNS}
        if outcome.right is not None:
            right, asked = outcome.right.tolist(), clip.asked.tolist()
            row |= {f"right_{kind}": str(count) for kind, count in zip(KINDS, right, strict=True)}
            row |= {f"asked_{kind}": str(count) for kind, count in zip(KINDS, asked, strict=True)}
        rows.append(row)
    return rows


def written(value: float | str | None) -> str:
    """A value as text for the file: a number with seven digits, None as an empty string."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.7g}"


def _of_all(statistic: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """A statistic of the values; None if any value is None."""
    there = [value for value in values if value is not None]
    return statistic(there) if len(there) == len(values) else None


def _standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def _rated(outcomes: Sequence[Outcome], clips: Sequence[Prepared], seed: int, several: bool) -> dict[str, float | None]:
    asked = np.stack([clip.asked for clip in clips])
    kept = np.array([outcome.tokens_after / outcome.tokens_before for outcome in outcomes])
    score = Score(np.stack([outcome.right for outcome in outcomes if outcome.right is not None]), asked, kept)
    unfolded = [clip.right(clip.reference.answers(clip.reference.scores)) for clip in clips]
    full = Score(np.stack(unfolded), asked, np.ones(len(clips)))
    numbers: dict[str, float | None] = {}
    for kind, rate in accuracy(score).items():
        numbers |= {f"accuracy_{kind}": rate.value, f"accuracy_{kind}_se": rate.error if several else None}
    for kind, rate in accuracy(full).items():
        numbers[f"unfolded_{kind}"] = rate.value
    for kind, gap in paired_differences(score, full, seed=seed).items():
        numbers |= {
            f"difference_{kind}": gap.value,
            f"difference_{kind}_low": gap.low if several else None,
            f"difference_{kind}_high": gap.high if several else None,
        }
    return numbers

"""Many clips as one row of numbers with standard errors."""

import math

import numpy as np

from vidfold.app.writing import Row
from vidfold.bench.scores import Arrays, accuracy, answered
from vidfold.tiny.questions import KINDS

MEANS = ("quantisation_error", "coverage", "transport", "divergence", "top1")
"""Measures with a mean over clips and its standard error in each row."""
RATED = ("mean", *KINDS)
"""The mean over kinds of question, all with the same weight, and every kind."""
COLUMNS = (
    *("clips", "questions", "tokens_before", "tokens_after", "tokens_least", "tokens_most"),
    *("retention", "layer_retention", "fold_ms"),
    *(f"{name}{end}" for name in MEANS for end in ("", "_se")),
    *(f"accuracy_{kind}{end}" for kind in RATED for end in ("", "_se")),
    *(f"unfolded_{kind}" for kind in RATED),
    *(f"difference_{kind}{end}" for kind in RATED for end in ("", "_low", "_high")),
)
"""Columns of measured values in a row; an empty string means not measured."""


def summary(found: Arrays, full: Arrays | None) -> Row:
    """One setting on all clips, with all tokens on the same clips for comparison.

    Retentions are measured: K / (F*N) over all clips, and the share that the language model's layers read. ``fold_ms``
    is the median. Errors are standard errors over clips, empty where there are too few; ``difference`` is the accuracy
    minus that with all tokens, with its 95 % interval.
    """
    before, after = found["tokens_before"], found["tokens_after"]
    numbers: dict[str, float] = {
        "clips": len(before),
        "questions": found["questions"].sum(),
        "tokens_before": before.mean(),
        "tokens_after": after.mean(),
        "tokens_least": after.min(),
        "tokens_most": after.max(),
        "retention": after.sum() / before.sum(),
        "layer_retention": (found["layer_retention"] * before).sum() / before.sum(),
    }
    if "fold_ms" in found:
        numbers["fold_ms"] = float(np.median(found["fold_ms"]))
    for name in MEANS:
        if name in found:
            spread = found[name].std(ddof=1) if len(before) > 1 else math.nan
            numbers |= {name: found[name].mean(), f"{name}_se": spread / math.sqrt(len(before))}
    for kind in RATED if answered(found) else ():
        own = accuracy(found, None if kind == "mean" else kind)
        numbers |= {f"accuracy_{kind}": own.value, f"accuracy_{kind}_se": own.error}
        if full is not None:
            other = accuracy(full, None if kind == "mean" else kind)
            low, high = (own - other).interval
            numbers |= {f"unfolded_{kind}": other.value, f"difference_{kind}": (own - other).value + 0.0}
            numbers |= {f"difference_{kind}_low": low, f"difference_{kind}_high": high}
    return {column: written(numbers.get(column, math.nan)) for column in COLUMNS}


def merit(row: Row) -> tuple[float, float]:
    """Accuracy of a measured row, or top-1 agreement if the true answers are not known, and its standard error, in %.

    The error is 0 if there is none.
    """
    name = "accuracy_mean" if row["accuracy_mean"] else "top1"
    return 100 * float(row[name]), 100 * float(row[f"{name}_se"] or 0)


def written(value: float) -> str:
    """A number with seven digits; NaN as an empty string."""
    return "" if math.isnan(value) else f"{value:.7g}"

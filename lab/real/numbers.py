"""What the tables and the pictures of the study read from its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidfold.app.writing import Row, read_csv

LOWER = ("quantisation_error", "transport")
"""Measures of which less is better."""
AT = "0.1"
MeanBy = dict[tuple[str, str], float]
"""Mean by method and retention."""


def means(rows: Sequence[Row], measure: str) -> MeanBy:
    """A measure's mean by method and retention."""
    return {(row["method"], row["retention"]): float(row["mean"]) for row in rows if row["measure"] == measure}


def worlds(path: Path) -> MeanBy:
    """Right answers in the synthetic worlds, mean over models and clips."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in read_csv(path)[1]:
        if row["status"] == "measured" and row["accuracy_mean"]:
            found.setdefault((row["method"], f"{float(row['asked']):g}"), []).append(float(row["accuracy_mean"]))
    return {key: float(np.mean(values)) for key, values in found.items()}


def spearman(one: Any, other: Any) -> float:
    """Rank correlation; ties have their mean rank; NaN where a number is NaN, or all of one side are the same."""
    ranks: list[list[float]] = []
    for values in (np.asarray(one, float), np.asarray(other, float)):
        if np.isnan(values).any():
            return float("nan")
        ranks.append([(np.count_nonzero(values < each) + np.count_nonzero(values <= each)) / 2 for each in values])
    first, second = (np.array(each) - np.mean(each) for each in ranks)
    spread = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / spread if spread else float("nan")

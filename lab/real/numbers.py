"""What the tables and the pictures of the study read from its files."""

from collections.abc import Sequence
from pathlib import Path

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

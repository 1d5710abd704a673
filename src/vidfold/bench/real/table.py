"""The numbers of a study: a tidy file, and a table for every retention."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidfold.app.tables import markdown_table, percent
from vidfold.app.writing import Row, write_csv, write_text
from vidfold.bench.real.study import Study
from vidfold.bench.records import Outcomes
from vidfold.bench.scores import Floats
from vidfold.bench.settings import FULL

HEADS = {
    "quantisation_error": "error ↓",
    "coverage": "coverage",
    "transport": "transport ↓",
    "name_patch": "patch name",
    "name_frame": "frame name",
    "name_video": "video name",
    "find_video": "finds video",
    "find_time": "finds time",
    "find_place": "finds place",
    "shot_recall": "shots",
    "shot_worst": "worst shot",
    "joined_shot_recall": "joined shots",
    "joined_shot_worst": "worst joined",
}
"""Measure -> its head in a table; an arrow where lower is better."""
COLUMNS = (
    *("tower", "fingerprint", "layer", "frames", "method", "method_code", "retention", "kept"),
    *("measure", "clips", "sources", "mean", "error", "gap", "gap_error"),
)
"""Columns of the file. ``gap`` is the mean minus that of the first method on the same videos, ``gap_error`` its paired
standard error."""


def rows(study: Study, saved: Outcomes) -> list[Row]:
    """Every measure of every setting, with standard errors over sources."""
    sources = np.array([study.source(subject) for subject in saved.clips])
    first = {setting.retention: setting for setting in reversed(study.settings)}
    found = []
    for setting in study.settings:
        values, base = saved.arrays(setting.label), saved.arrays(first[setting.retention].label)
        shared = {
            "tower": Path(study.tower.name).name,
            "fingerprint": study.tower.fingerprint,
            "layer": str(study.tower.depth),
            "frames": str(study.frames),
            "method": setting.method,
            "method_code": setting.code,
            "retention": f"{setting.retention:g}",
            "kept": _told(float(np.nanmean(values["kept"]))),
        }
        for measure in HEADS:
            if measure in values:
                own, gap = values[measure], values[measure] - base[measure]
                known = ~np.isnan(own)
                counts = (measure, str(known.sum()), str(len(np.unique(sources[known]))))
                numbers = (*mean(own[known], sources[known]), *mean(gap[known], sources[known]))
                found.append(shared | dict(zip(COLUMNS[8:], (*counts, *map(_told, numbers)), strict=True)))
    return found


def text(found: Sequence[Row]) -> str:
    """A table for every retention, best quantisation error first."""
    tables = []
    for retention in dict.fromkeys(row["retention"] for row in found if row["method"] != FULL.method):
        cells: dict[str, dict[str, Row]] = {}
        for row in found:
            if row["retention"] == retention or row["method"] == FULL.method:
                cells.setdefault(row["method"], {})[row["measure"]] = row
        shown = [measure for measure in HEADS if any(measure in own for own in cells.values())]
        order = sorted(cells, key=lambda method: float(cells[method][shown[0]]["mean"]))
        body = [[method, *(f"{float(cells[method][each]['mean']):.3f}" for each in shown)] for method in order]
        counts = ["videos", *(next(iter(cells.values()))[each]["clips"] for each in shown)]
        tables.append(
            f"{percent(float(retention))} of the tokens\n\n"
            + markdown_table([["method", *map(HEADS.__getitem__, shown)], *body, counts])
        )
    return "\n\n".join(tables)


def write(found: Sequence[Row], output: Path) -> list[Path]:
    """Write the rows and the tables to a folder."""
    files = [output / "features.csv", output / "features.md"]
    write_csv(files[0], COLUMNS, found)
    write_text(files[1], text(found) + "\n")
    return files


def mean(values: Floats, sources: NDArray[np.str_]) -> tuple[float, float]:
    """Mean over videos (V,), and its standard error when only different ``sources`` (V,) are independent.

    Every video has the same weight. The deviations of the videos of one source are summed before they are squared
    (Liang & Zeger 1986, with the factor S / (S - 1) for S sources); if every video has its own source, it is the usual
    error of a mean. NaN for one source.
    """
    _, place = np.unique(sources, return_inverse=True)
    sums = np.bincount(place, values - values.mean())
    count = len(sums)
    error = math.sqrt(count / (count - 1) * np.square(sums).sum()) / len(values) if count > 1 else math.nan
    return float(values.mean()), error


def _told(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"

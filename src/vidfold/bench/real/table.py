"""The numbers of a study: a tidy file, and a table for every retention."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    *("measure", "clips", "mean", "error", "gap", "gap_error"),
)
"""Columns of the file. ``gap`` is the mean minus that of the first method on the same videos, ``gap_error`` its paired
standard error."""


def rows(study: Study, saved: Outcomes) -> list[Row]:
    """Every measure of every setting, with standard errors over videos."""
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
                numbers = dict(
                    zip(("mean", "error", "gap", "gap_error"), map(_told, (*_mean(own), *_mean(gap))), strict=True)
                )
                found.append(shared | {"measure": measure, "clips": str(int((~np.isnan(own)).sum()))} | numbers)
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


def _mean(values: Floats) -> tuple[float, float]:
    """Mean over the videos that have the value, and its standard error."""
    known = values[~np.isnan(values)]
    error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return float(known.mean()), float(error)


def _told(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"

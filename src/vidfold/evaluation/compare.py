"""Compare measured benchmarks with published ones: which run belongs to which row, and the difference."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vidfold.app.tables import percent
from vidfold.evaluation.published import AVERAGE, Number, Published, first, rows
from vidfold.evaluation.results import BENCHMARKS, Measurement, Run
from vidfold.evaluation.settings import UNFOLDED

BACKBONES = {
    "LLaVA-OneVision-7B": r"llava-onevision-qwen2-7b-ov(-hf)?",
    "LLaVA-Video-7B": r"llava-video-7b-qwen2(-hf)?",
    "Qwen2.5-VL-7B": r"qwen2\.5-vl-7b-instruct",
    "InternVL3-2B": r"internvl3-2b(-hf)?",
}
"""Backbone by its name in the published tables -> pattern of its checkpoints' names, also within a path."""

METHODS = {
    UNFOLDED: "Vanilla",
    "identity": "Vanilla",
    "aot-paper": "AOT",
    "aot-reference": "AOT",
    "average": "spatial average pooling",
    "dycoke": "DyCoke",
    "fastv": "FastV",
    "fastvid": "FastVID",
    "flashvid": "FlashVID",
    "grid": "spatial grid sampling",
    "holitom": "HoliTom w/o M",
    "prunevid": "PruneVid",
    "pyramiddrop": "PDrop",
    "simplecluster": "SimpleCluster",
    "spacetime-grid": "spatio-temporal grid sampling",
    "visionzip": "VisionZip",
}
"""Method of vidfold -> its name in the published tables; `aot` is vidfold's own, and has no row there."""

TOLERANCE = 0.05
"""Relative difference in retention up to which a run belongs to a row: 9.5 to 10.5 % for 10 %."""


@dataclass(frozen=True)
class Line:
    """A published number and a measurement with the same settings; one of them is None if it has no counterpart."""

    number: Number | None
    measured: Measurement | None

    @property
    def status(self) -> str:
        """Of a published number compared or missing, of a measurement alone unmatched."""
        return "unmatched" if self.number is None else "missing" if self.measured is None else "compared"

    @property
    def difference(self) -> float | None:
        """Measured minus published, in points."""
        return self.measured.value - float(self.number.value) if self.number and self.measured else None


def compare(published: Published, measurements: Sequence[Measurement]) -> list[Line]:
    """Match measurements with the published rows of the same backbone, frames, method and retention.

    Returns:
        Published numbers by falling retention, then measurements without one, with the reason. A row's average is
        measured if all benchmarks of the table were.

    Raises:
        ValueError: the table has no benchmark that can be read from results.
    """
    there = rows(each for each in published.numbers if each.benchmark in (*BENCHMARKS, AVERAGE))
    there.sort(key=lambda row: -(first(row).retention or 0))
    parts = list(dict.fromkeys(name for row in there for name in row if name != AVERAGE))
    if not parts:
        raise ValueError(
            f"table {published.name!r} has no benchmark that can be read from results: {', '.join(BENCHMARKS)}"
        )
    found: dict[Number, list[Measurement | None]] = {number: [] for row in there for number in row.values()}
    unmatched = [each for each in measurements if each.reason]
    for members in _together([each for each in measurements if not each.reason]):
        run, measured = members[0].run, {each.benchmark: each for each in members}
        own = [row for row in there if _belongs(run, first(row))]
        shown = {name for row in own for name in row}
        if AVERAGE in shown and measured.keys() >= set(parts):
            measured[AVERAGE] = Measurement.mean(AVERAGE, [measured[part] for part in parts])
            shown.update(parts)
        for row in own:
            for name in row.keys() & measured.keys():
                found[row[name]].append(measured[name])
        reason = "its row has no such column" if own else f"the table has no row of {_told(run)}"
        unmatched += [replace(each, reason=reason) for each in members if each.benchmark not in shown]
    lines = [Line(number, each) for number, several in found.items() for each in several or [None]]
    return lines + [Line(None, each) for each in unmatched]


def _together(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Measurements grouped by configuration, or by row of ``vidfold reproduce`` if its parts differ in settings."""
    groups: dict[object, list[Measurement]] = {}
    for each in measurements:
        run = each.run
        key: object = (run.row, run.pretrained, run.method, run.frames, run.retention) if run.row else run
        if any(other.benchmark == each.benchmark for other in groups.get(key, [])):
            key = run
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _belongs(run: Run, published: Number) -> bool:
    """Whether a run has the settings of a published row."""
    checkpoint = BACKBONES.get(published.backbone, "no known checkpoint")
    method = METHODS.get(run.method) if run.published is None else run.published
    share, asked = published.retention, run.retention
    return (
        re.search(rf"(^|/|--){checkpoint}(/|$)", run.pretrained.lower()) is not None
        and (published.frames, published.method) == (run.frames, method)
        and share is not None
        and asked is not None
        and abs(asked - share) <= TOLERANCE * share
    )


def _told(run: Run) -> str:
    """The settings by which rows are found."""
    name = f"{run.published or run.method}{f' ({run.row})' if run.row else ''}"
    return f"{name} at {percent(run.retention, 4) or 'no known retention'}, {run.frames} frames, {run.pretrained}"

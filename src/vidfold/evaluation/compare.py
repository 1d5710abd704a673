"""Compare measured benchmarks with published ones: which run belongs to which row, and the difference."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidfold.evaluation.published import AVERAGE, Published, Row, first, rows
from vidfold.evaluation.results import BENCHMARKS, Measurement, Run, Unmatched
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
class Beside:
    """One run and the published row with the same settings.

    Attributes:
        row: the published numbers, by benchmark.
        measured: benchmark -> measurement, and the average if all benchmarks of the table were measured.
    """

    row: Row
    measured: dict[str, Measurement]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Its configuration; several if settings differ by benchmark."""
        return tuple(dict.fromkeys(each.run for each in self.measured.values()))

    def difference(self, benchmark: str) -> float | None:
        """Measured minus published, in points; None if one of them is missing."""
        if benchmark not in self.measured or benchmark not in self.row:
            return None
        return self.measured[benchmark].value - float(self.row[benchmark].value)


@dataclass(frozen=True)
class Comparison:
    """Measured results and a published table.

    Attributes:
        published: the table.
        compared: runs with their rows, in the order of the rows.
        missing: rows without a run.
        unmatched: measurements without a published number.
    """

    published: Published
    compared: tuple[Beside, ...]
    missing: tuple[Row, ...]
    unmatched: tuple[Unmatched, ...]


def compare(
    published: Published, measurements: Sequence[Measurement], unmatched: Sequence[Unmatched] = ()
) -> Comparison:
    """Match measurements with the published rows of the same backbone, frames, method and retention.

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
    compared: list[tuple[int, Beside]] = []
    left = list(unmatched)
    for members in _together(measurements):
        run, measured = members[0].run, {each.benchmark: each for each in members}
        own = [place for place, row in enumerate(there) if not _mismatch(row, run)]
        reason = "its row has no such column" if own else _reason(there, run)
        shown = {benchmark for place in own for benchmark in there[place]}
        if AVERAGE in shown and measured.keys() >= set(parts):
            measured[AVERAGE] = Measurement.mean(AVERAGE, [measured[part] for part in parts])
            shown.update(parts)
        left += [Unmatched(each.benchmark, reason, each.files, each) for each in members if each.benchmark not in shown]
        compared += [(place, Beside(there[place], measured)) for place in own if shown & measured.keys()]
    compared.sort(key=lambda each: each[0])
    taken = {place for place, _ in compared}
    missing = tuple(row for place, row in enumerate(there) if place not in taken)
    return Comparison(published, tuple(each for _, each in compared), missing, tuple(left))


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


def _backbone(pretrained: str) -> str | None:
    name = pretrained.lower()
    return next((each for each, pattern in BACKBONES.items() if re.search(rf"(^|/|--){pattern}(/|$)", name)), None)


_CRITERIA = ("backbone", "frames", "method", "retention")


def _mismatch(row: Row, run: Run) -> str:
    """The first criterion by which a run does not belong to a row, or empty."""
    published = first(row)
    near = (
        run.retention is not None
        and published.retention is not None
        and abs(run.retention - published.retention) <= TOLERANCE * published.retention
    )
    agrees = (
        published.backbone == _backbone(run.pretrained),
        published.frames == run.frames,
        published.method == (METHODS.get(run.method) if run.published is None else run.published),
        near,
    )
    return next((name for name, equal in zip(_CRITERIA, agrees, strict=True) if not equal), "")


def _reason(there: Sequence[Row], run: Run) -> str:
    """Why a run belongs to no row: the criterion that fails in the nearest row."""
    last = max((_mismatch(row, run) for row in there), key=_CRITERIA.index)
    values = {
        "backbone": run.pretrained,
        "frames": f"{run.frames}",
        "method": f"{run.published or run.method}{f' ({run.row})' if run.row else ''}",
        "retention": "that is not known" if run.retention is None else f"{100 * run.retention:.4g} %",
    }
    return f"the table has no row of {last} {values[last]}"

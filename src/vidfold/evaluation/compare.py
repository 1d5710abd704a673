"""Compare measured benchmarks with published ones: which run belongs to which row, and the difference."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vidfold.bench.numbers import percent
from vidfold.evaluation.published import AVERAGE, Number, Published, Row, first, rows
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
class Pair:
    """A published number and a measurement with the same settings."""

    number: Number
    measured: Measurement

    @property
    def difference(self) -> float:
        """Measured minus published, in points."""
        return self.measured.value - float(self.number.value)


@dataclass(frozen=True)
class Comparison:
    """Measured results and a published table.

    Attributes:
        published: the table.
        compared: by falling retention; a row's average is measured if all benchmarks of the table were.
        missing: published and not measured.
        unmatched: measured without a published number; each has a reason.
    """

    published: Published
    compared: list[Pair]
    missing: list[Number]
    unmatched: list[Measurement]


def compare(published: Published, measurements: Sequence[Measurement]) -> Comparison:
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
    compared: list[tuple[int, Pair]] = []
    unmatched = [each for each in measurements if each.reason]
    for members in _together([each for each in measurements if not each.reason]):
        run, measured = members[0].run, {each.benchmark: each for each in members}
        wrong = [_mismatch(row, run) for row in there]
        own = [place for place, criterion in enumerate(wrong) if criterion is None]
        nearest = max(filter(None, wrong), default=(0, ""))[1]
        reason = "its row has no such column" if own else f"the table has no row of {nearest}"
        shown = {name for place in own for name in there[place]}
        if AVERAGE in shown and measured.keys() >= set(parts):
            measured[AVERAGE] = Measurement.mean(AVERAGE, [measured[part] for part in parts])
            shown.update(parts)
        unmatched += [replace(each, reason=reason) for each in members if each.benchmark not in shown]
        for place in own:
            numbers = there[place].items()
            compared += [(place, Pair(number, measured[name])) for name, number in numbers if name in measured]
    compared.sort(key=lambda each: each[0])
    pairs = [pair for _, pair in compared]
    taken = {pair.number for pair in pairs}
    missing = [number for row in there for number in row.values() if number not in taken]
    return Comparison(published, pairs, missing, unmatched)


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


def _mismatch(row: Row, run: Run) -> tuple[int, str] | None:
    """The first criterion by which a run does not belong to a row: its place among all, and its value in the run."""
    published, share, asked = first(row), first(row).retention, run.retention
    checkpoint = BACKBONES.get(published.backbone, "no known checkpoint")
    method = METHODS.get(run.method) if run.published is None else run.published
    near = share is not None and asked is not None and abs(asked - share) <= TOLERANCE * share
    called = f"{run.published or run.method}{f' ({run.row})' if run.row else ''}"
    criteria = (
        (re.search(rf"(^|/|--){checkpoint}(/|$)", run.pretrained.lower()), f"backbone {run.pretrained}"),
        (published.frames == run.frames, f"frames {run.frames}"),
        (published.method == method, f"method {called}"),
        (near, f"retention {percent(asked, 4) or 'that is not known'}"),
    )
    return next(((place, told) for place, (agrees, told) in enumerate(criteria) if not agrees), None)

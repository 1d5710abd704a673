"""Published tables as text and as plain data, alone or beside measured results."""

import dataclasses
import math
import shutil
import string
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from vidfold.app.tables import percent, plus_minus, table
from vidfold.evaluation.compare import Beside, Comparison
from vidfold.evaluation.described import Run
from vidfold.evaluation.measured import Measurement
from vidfold.evaluation.published import Number, Published, Row, load, names, rows, sources
from vidfold.reducers import METHODS

PUBLISHED = tuple(field.name for field in dataclasses.fields(Number))
MEASURED = (
    "measured", "standard_error", "difference", "kept", "run_method", "run_fields", "run_retention", "run_frames",
    "pretrained", "config_hash", "errors", "files",
)  # fmt: skip
COLUMNS = ("status", *PUBLISHED, *MEASURED, "reason")
"""Columns of the tidy rows; status is compared, missing or unmatched; cells that do not apply are empty."""

_LEGEND = (
    "measured: in %, ± its standard error; difference: points, measured minus published, ± the standard error of the "
    "measured value alone, as published ones have none; missing: published and not measured; kept: mean share of a "
    "video's tokens that the language model was given."
)


def listing() -> str:
    """All tables, one per line."""
    lines = [("table", "numbers", "what it holds")]
    lines += [(each.name, str(len(each.numbers)), each.title) for each in map(load, names())]
    return f"{table(lines)}\n\n1 to 4 follow the paper of AOT, as far as its tables are known, beside other papers."


def text(published: Published) -> str:
    """A table for a terminal: methods by benchmarks if all numbers have one unit, else one number per line."""
    numbers = published.numbers
    letters, notes = source_letters(numbers), dict.fromkeys(each.note for each in numbers if each.note)
    places = {note: str(1 + place) for place, note in enumerate(notes)}
    told = [name for name in ("backbone", "frames", "setting") if len({getattr(each, name) for each in numbers}) > 1]
    units = {each.unit for each in numbers}
    if len(units) == 1:
        title = f"{published.title}; in {units.pop()}"
        columns = list(dict.fromkeys(each.benchmark for each in numbers))
        order = list(dict.fromkeys(each.backbone for each in numbers))
        grouped = [list(row.values()) for row in rows(numbers)]
        grouped.sort(key=lambda row: (order.index(row[0].backbone), -(row[0].retention or 0)))
    else:
        title, columns = published.title, ["quantity", "value"]
        grouped = [[each] for each in numbers]
    lines = [[*told, "retention", "method", *columns, "source", "notes"]]
    for row in grouped:
        first, values = row[0], {each.benchmark: str(each.value) for each in row}
        values |= {"quantity": first.benchmark, "value": f"{first.value} {first.unit}".removesuffix(" 1")}
        lines.append(
            [
                *("" if getattr(first, name) is None else str(getattr(first, name)) for name in told),
                percent(first.retention, 4),
                first.method,
                *(values.get(name, "") for name in columns),
                letters[first.source],
                ", ".join(dict.fromkeys(places[each.note] for each in row if each.note)),
            ]
        )
    told_notes = table([(place, note) for note, place in places.items()]) if notes else ""
    return "\n\n".join(filter(None, [title, table(lines), source_legend(letters), told_notes, remarks(published)]))


def as_data(published: Published) -> dict[str, Any]:
    """A table with its sources as plain data."""
    known = sources()
    return {
        "table": published.name,
        "title": published.title,
        "remarks": list(published.remarks),
        "sources": [dataclasses.asdict(known[name]) for name in source_letters(published.numbers)],
        "numbers": [plain(number) for number in published.numbers],
    }


def plain(number: Number) -> dict[str, Any]:
    """A number as plain data."""
    return dataclasses.asdict(number) | {"value": float(number.value)}


def source_letters(numbers: Iterable[Number]) -> dict[str, str]:
    """Source -> its letter in the table."""
    return dict(zip(dict.fromkeys(each.source for each in numbers), string.ascii_lowercase, strict=False))


def source_legend(letters: dict[str, str]) -> str:
    """The sources of the letters."""
    known = sources()
    return table(
        [(letter, f"{name} ({known[name].kind}): {known[name].reference}") for name, letter in letters.items()]
    )


def remarks(published: Published) -> str:
    """Errata and other remarks, one paragraph each."""
    return wrapped(published.remarks)


def wrapped(paragraphs: Sequence[str]) -> str:
    """Paragraphs within the width of the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns
    return "\n".join(textwrap.fill(each, width) for each in paragraphs)


def comparison_text(comparison: Comparison) -> str:
    """Three lines for every run with a published row, then missing rows, then unmatched measurements."""
    published, compared = comparison.published, comparison.compared
    blocks = [f"{published.title}: measured beside published"]
    if compared:
        letters = source_letters(_first(beside.row) for beside in compared)
        shown = {name for beside in compared for name in beside.row}
        columns = [name for name in dict.fromkeys(each.benchmark for each in published.numbers) if name in shown]
        lines = [["retention", "method", "", *columns, "kept", "source"]]
        for beside in compared:
            lines += _three_lines(beside, columns, letters[_first(beside.row).source])
        blocks += [table(lines), wrapped([_LEGEND]), source_legend(letters), _configurations(compared)]
    else:
        blocks.append("No measurement belongs to a row of this table.")
    if comparison.missing:
        blocks.append("not measured\n" + table(_missing(comparison.missing)))
    if comparison.unmatched:
        lines = [["measured, without a published number", "value", "why", "files"]]
        for each in comparison.unmatched:
            value = _value(each.measurement) if each.measurement else ""
            lines.append([each.what, value, each.reason, ", ".join(each.files)])
        blocks.append(table(lines))
    return "\n\n".join(filter(None, [*blocks, remarks(published)]))


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Tidy rows in the columns `COLUMNS`, one per published number or unmatched measurement."""
    found: list[dict[str, Any]] = []
    for beside in comparison.compared:
        for name, number in beside.row.items():
            if name in beside.measured:
                told = _measured(beside.measured[name]) | {"difference": beside.difference(name)}
                found.append({"status": "compared"} | plain(number) | told)
            else:
                found.append({"status": "missing"} | plain(number) | _settings(beside.runs[0]))
    found += [{"status": "missing"} | plain(number) for row in comparison.missing for number in row.values()]
    for each in comparison.unmatched:
        told = _measured(each.measurement) if each.measurement else {"files": " ".join(each.files)}
        found.append({"status": "unmatched", "benchmark": each.what, "reason": each.reason} | told)
    return [{column: row.get(column) for column in COLUMNS} for row in found]


def _three_lines(beside: Beside, columns: Sequence[str], source: str) -> list[list[str]]:
    first = _first(beside.row)
    published, measured, difference = [], [], []
    for name in columns:
        number, found = beside.row.get(name), beside.measured.get(name)
        apart = beside.difference(name)
        published.append(str(number.value) if number else "")
        measured.append("" if number is None else "missing" if found is None else _value(found))
        difference.append("" if apart is None or found is None else plus_minus(apart, _error(found), sign="+", scale=1))
    hashes = " ".join(run.config_hash for run in beside.runs)
    return [
        [percent(first.retention, 4), first.method, "published", *published, "", source],
        ["", beside.runs[0].method, "measured", *measured, _kept(beside.measured.values()), ""],
        ["", hashes, "difference", *difference, "", ""],
    ]


def _configurations(compared: Sequence[Beside]) -> str:
    """The measured configurations: hash, method with its fields other than their defaults, and paper."""
    lines = []
    for run in dict.fromkeys(run for beside in compared for run in beside.runs):
        paper = METHODS[run.method].published if run.method in METHODS else "not folded"
        failed = f"; {run.errors} samples could not be read" if run.errors else ""
        lines.append((run.config_hash, f"{run.method}({run.fields})", f"{paper}{failed}"))
    return table(lines)


def _kept(measurements: Iterable[Measurement]) -> str:
    """Smallest and largest share kept over the benchmarks, as text."""
    shares = sorted(each.kept for each in measurements if each.kept is not None)
    ends = dict.fromkeys(f"{100 * share:.1f}" for share in shares[:1] + shares[-1:])
    return f"{' to '.join(ends)} %" if ends else ""


def _missing(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Retention -> methods that were not measured."""
    methods: dict[str, dict[str, None]] = {}
    for first in map(_first, rows):
        methods.setdefault(percent(first.retention, 4) or "not known", {})[first.method] = None
    return [(retention, ", ".join(names)) for retention, names in methods.items()]


def _first(row: Row) -> Number:
    return next(iter(row.values()))


def _value(measurement: Measurement) -> str:
    return plus_minus(measurement.value, _error(measurement), scale=1)


def _error(measurement: Measurement) -> float:
    return math.nan if measurement.error is None else measurement.error


def _measured(measurement: Measurement) -> dict[str, Any]:
    return {
        "measured": measurement.value,
        "standard_error": measurement.error,
        "kept": measurement.kept,
        "files": " ".join(measurement.files),
    } | _settings(measurement.run)


def _settings(run: Run) -> dict[str, Any]:
    return {
        "run_method": run.method,
        "run_fields": run.fields,
        "run_retention": run.retention,
        "run_frames": run.frames,
        "pretrained": run.pretrained,
        "config_hash": run.config_hash,
        "errors": run.errors,
    }

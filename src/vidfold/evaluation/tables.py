"""Published tables as text and as plain data, alone or beside measured results."""

import dataclasses
import math
import shutil
import string
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from vidfold.app.tables import table
from vidfold.bench.numbers import percent, plus_minus
from vidfold.evaluation.compare import Comparison
from vidfold.evaluation.published import Number, Published, load, names, rows, sources
from vidfold.evaluation.results import Measurement, Run
from vidfold.reducers import METHODS

COLUMNS = (
    "status", *(field.name for field in dataclasses.fields(Number)),
    "measured", "standard_error", "difference", "kept", "run", "run_method", "run_retention", "run_frames",
    "pretrained", "config_hash", "errors", "files", "reason",
)  # fmt: skip
"""Columns of the tidy rows; status is compared, missing or unmatched; cells that do not apply are empty."""

_LEGEND = (
    "measured: in %, ± its standard error; difference: points, measured minus published, ± the standard error of the "
    "measured value alone, as published ones have none; kept: mean share of a video's tokens that the language model "
    "was given; run: its configuration, below."
)


def listing() -> list[dict[str, Any]]:
    """All tables: their name, title and number of numbers."""
    return [{"table": each.name, "numbers": len(each.numbers), "title": each.title} for each in map(load, names())]


def listing_text() -> str:
    """All tables, one per line."""
    lines = [("table", "numbers", "what it holds"), *(tuple(map(str, each.values())) for each in listing())]
    return f"{table(lines)}\n\n1 to 4 follow the paper of AOT, as far as its tables are known, beside other papers."


def published_text(published: Published) -> str:
    """A table for a terminal: methods by benchmarks if all numbers have one unit, else one number per line."""
    numbers = published.numbers
    letters, notes = _letters(numbers), dict.fromkeys(each.note for each in numbers if each.note)
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
        head, values = row[0], {each.benchmark: str(each.value) for each in row}
        values |= {"quantity": head.benchmark, "value": f"{head.value} {head.unit}".removesuffix(" 1")}
        settings = ["" if getattr(head, name) is None else str(getattr(head, name)) for name in told]
        remarked = ", ".join(dict.fromkeys(places[each.note] for each in row if each.note))
        cells = [values.get(name, "") for name in columns]
        lines.append([*settings, percent(head.retention, 4), head.method, *cells, letters[head.source], remarked])
    return _page(
        title,
        table(lines),
        _legend(letters),
        table([(place, note) for note, place in places.items()]) if notes else "",
        _wrapped(published.remarks),
    )


def published_data(published: Published) -> dict[str, Any]:
    """A table with its sources as plain data."""
    known = sources()
    return {
        "table": published.name,
        "title": published.title,
        "remarks": list(published.remarks),
        "sources": [known[name] for name in _letters(published.numbers)],
        "numbers": [_plain(number) for number in published.numbers],
    }


def comparison_text(comparison: Comparison) -> str:
    """One line for every compared number, then methods that were not measured, then unmatched measurements."""
    pairs, blocks = comparison.compared, [f"{comparison.published.title}: measured beside published"]
    if pairs:
        letters = _letters(pair.number for pair in pairs)
        lines = [("retention", "method", "benchmark", "published", "measured", "difference", "kept", "run", "source")]
        for pair in pairs:
            number, measured = pair.number, pair.measured
            apart = plus_minus(pair.difference, measured.error, sign="+", scale=1)
            told = (percent(number.retention, 4), number.method, number.benchmark, str(number.value))
            run = (percent(measured.kept), measured.run.config_hash)
            lines.append((*told, _value(measured), apart, *run, letters[number.source]))
        blocks += [
            table(lines),
            _wrapped([_LEGEND]),
            _legend(letters),
            _configurations(pair.measured.run for pair in pairs),
        ]
    else:
        blocks.append("No measurement belongs to a row of this table.")
    begun = {(pair.number.method, pair.number.retention, pair.number.source) for pair in pairs}
    missing: dict[str, dict[str, None]] = {}
    for number in comparison.missing:
        part = f" ({number.benchmark})" if (number.method, number.retention, number.source) in begun else ""
        missing.setdefault(percent(number.retention, 4) or "not known", {})[f"{number.method}{part}"] = None
    if missing:
        blocks.append("not measured\n" + table([(share, ", ".join(methods)) for share, methods in missing.items()]))
    if comparison.unmatched:
        head = ("measured, without a published number", "value", "why", "files")
        others = [(each.benchmark, _value(each), each.reason, ", ".join(each.files)) for each in comparison.unmatched]
        blocks.append(table([head, *others]))
    return _page(*blocks, _wrapped(comparison.published.remarks))


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Tidy rows in the columns `COLUMNS`, one per published number or unmatched measurement."""
    found: list[dict[str, Any]] = [
        {"status": "compared", "difference": pair.difference} | _measured(pair.measured) | _plain(pair.number)
        for pair in comparison.compared
    ]
    found += [{"status": "missing"} | _plain(number) for number in comparison.missing]
    found += [{"status": "unmatched"} | _measured(each) for each in comparison.unmatched]
    return [{column: row.get(column) for column in COLUMNS} for row in found]


def _configurations(runs: Iterable[Run]) -> str:
    """Configurations: hash, method with its fields other than their defaults, and paper."""
    lines = []
    for run in dict.fromkeys(runs):
        paper = METHODS[run.method].published if run.method in METHODS else "not folded"
        failed = f"; {run.errors} samples could not be read" if run.errors else ""
        lines.append((run.config_hash, run.described, f"{paper}{failed}"))
    return table(lines)


def _value(measured: Measurement) -> str:
    return plus_minus(measured.value, measured.error, scale=1)


def _plain(number: Number) -> dict[str, Any]:
    return dataclasses.asdict(number) | {"value": float(number.value)}


def _measured(measured: Measurement) -> dict[str, Any]:
    run = measured.run
    return {
        "benchmark": measured.benchmark,
        "measured": None if math.isnan(measured.value) else measured.value,
        "standard_error": None if math.isnan(measured.error) else measured.error,
        "kept": measured.kept,
        "run": run.described,
        "run_method": run.method,
        "run_retention": run.retention,
        "run_frames": run.frames,
        "pretrained": run.pretrained,
        "config_hash": run.config_hash,
        "errors": run.errors,
        "files": " ".join(measured.files),
        "reason": measured.reason,
    }


def _letters(numbers: Iterable[Number]) -> dict[str, str]:
    """Source -> its letter in the table."""
    return dict(zip(dict.fromkeys(each.source for each in numbers), string.ascii_lowercase, strict=False))


def _legend(letters: dict[str, str]) -> str:
    """The sources of the letters."""
    told = {name: f"{name} ({source['kind']}): {source['reference']}" for name, source in sources().items()}
    return table([(letter, told[name]) for name, letter in letters.items()])


def _wrapped(paragraphs: Sequence[str]) -> str:
    """Paragraphs within the width of the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns
    return "\n".join(textwrap.fill(each, width) for each in paragraphs)


def _page(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks))

"""Published tables as text and as tidy rows, alone or beside measured results."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from vidfold.app.tables import percent, plus_minus, table, wrapped
from vidfold.evaluation.compare import Line
from vidfold.evaluation.published import Number, Published, first, load, names, rows, sources
from vidfold.evaluation.results import Measurement, Run
from vidfold.reducers import METHODS

COLUMNS = (
    "status", *(field.name for field in dataclasses.fields(Number)),
    "measured", "standard_error", "difference", "kept", *(f"run_{field.name}" for field in dataclasses.fields(Run)),
    "files", "reason",
)  # fmt: skip
"""Columns of the tidy rows; status is compared, missing or unmatched; cells that do not apply are empty."""

_LEGEND = (
    "measured: in %, ± its standard error; difference: points, measured minus published, ± the standard error of the "
    "measured value alone, as published ones have none; kept: mean share of a video's tokens that the language model "
    "was given; run: its configuration, below."
)


def listing() -> str:
    """All tables, one per line."""
    lines = [("table", "numbers", "what it holds")]
    lines += [(each.name, str(len(each.numbers)), each.title) for each in map(load, names())]
    return f"{table(lines)}\n\n1 to 4 follow the paper of AOT, as far as its tables are known, beside other papers."


def published_text(published: Published) -> str:
    """A table for a terminal: methods by benchmarks if all numbers have one unit, else one number per line."""
    numbers, units = published.numbers, {each.unit for each in published.numbers}
    notes = {
        note: str(place) for place, note in enumerate(dict.fromkeys(each.note for each in numbers if each.note), 1)
    }
    told = [name for name in ("backbone", "frames", "setting") if len({getattr(each, name) for each in numbers}) > 1]
    if len(units) == 1:
        title, columns = f"{published.title}; in {units.pop()}", list(dict.fromkeys(each.benchmark for each in numbers))
        order = list(dict.fromkeys(each.backbone for each in numbers))
        grouped = rows(numbers)
        grouped.sort(key=lambda row: (order.index(first(row).backbone), -(first(row).retention or 0)))
    else:
        title, columns = published.title, ["quantity", "value"]
        grouped = [{each.benchmark: each} for each in numbers]
    lines = [[*told, "retention", "method", *columns, "source", "notes"]]
    for row in grouped:
        head, values = first(row), {name: str(number.value) for name, number in row.items()}
        values |= {"quantity": head.benchmark, "value": f"{head.value} {head.unit}".removesuffix(" 1")}
        settings = ["" if getattr(head, name) is None else str(getattr(head, name)) for name in told]
        remarked = ", ".join(dict.fromkeys(notes[each.note] for each in row.values() if each.note))
        cells = [values.get(name, "") for name in columns]
        lines.append([*settings, percent(head.retention, 4), head.method, *cells, head.source, remarked])
    noted = table([(place, note) for note, place in notes.items()]) if notes else ""
    return _page(title, table(lines), _sources(numbers), noted, wrapped("\n".join(published.remarks)))


def comparison_text(published: Published, lines: Sequence[Line]) -> str:
    """One line for every compared number, then methods that were not measured, then unmatched measurements."""
    pairs = [(line.number, line.measured) for line in lines if line.number and line.measured]
    blocks = [f"{published.title}: measured beside published"]
    if pairs:
        shown = [("retention", "method", "benchmark", "published", "measured", "difference", "kept", "run", "source")]
        for number, measured in pairs:
            apart = plus_minus(measured.value - float(number.value), measured.error, sign="+", scale=1)
            told = (percent(number.retention, 4), number.method, number.benchmark, str(number.value))
            run = (percent(measured.kept), measured.run.config_hash)
            shown.append((*told, _value(measured), apart, *run, number.source))
        runs = _configurations(measured.run for _, measured in pairs)
        blocks += [table(shown), wrapped(_LEGEND), _sources(number for number, _ in pairs), runs]
    else:
        blocks.append("No measurement belongs to a row of this table.")
    begun = {(number.method, number.retention, number.source) for number, _ in pairs}
    missing: dict[str, dict[str, None]] = {}
    for number in (line.number for line in lines if line.number and not line.measured):
        part = f" ({number.benchmark})" if (number.method, number.retention, number.source) in begun else ""
        missing.setdefault(percent(number.retention, 4) or "not known", {})[f"{number.method}{part}"] = None
    if missing:
        blocks.append("not measured\n" + table([(share, ", ".join(methods)) for share, methods in missing.items()]))
    if unmatched := [line.measured for line in lines if line.measured and not line.number]:
        head = ("measured, without a published number", "value", "why", "files")
        others = [(each.benchmark, _value(each), each.reason, ", ".join(each.files)) for each in unmatched]
        blocks.append(table([head, *others]))
    return _page(*blocks, wrapped("\n".join(published.remarks)))


def comparison_rows(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Tidy rows in the columns `COLUMNS`, one per published number or unmatched measurement."""
    return [
        dict.fromkeys(COLUMNS)
        | {"status": line.status, "difference": line.difference}
        | (_measured(line.measured) if line.measured else {})
        | (dataclasses.asdict(line.number) if line.number else {})
        for line in lines
    ]


def _measured(each: Measurement) -> dict[str, Any]:
    run = {f"run_{name}": value for name, value in dataclasses.asdict(each.run).items()}
    numbers = {"measured": each.value, "standard_error": each.error}
    told = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    files = " ".join(each.files)
    return {"benchmark": each.benchmark, **told, "kept": each.kept, **run, "files": files, "reason": each.reason}


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


def _sources(numbers: Iterable[Number]) -> str:
    """The sources of numbers."""
    known = sources()
    used = [known[name] for name in dict.fromkeys(each.source for each in numbers)]
    return table([(source["name"], f"{source['kind']}: {source['reference']}") for source in used])


def _page(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks))

"""Published tables as text and as plain data."""

from __future__ import annotations

import dataclasses
import shutil
import string
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from vidfold.app.tables import table
from vidfold.evaluation.published import Number, Published, load, names, rows, sources


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
                percent(first.retention),
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


def percent(share: float | None) -> str:
    """A share in %, or empty."""
    return "" if share is None else f"{100 * share:.4g} %"


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

"""Published numbers as data: one tidy CSV file per table, and files about tables and sources.

``NAME.csv`` has the numbers of a table in the columns of `Number`; an empty cell was not published or is not known.
``about/`` has the titles of the tables, remarks on them, and the sources.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from vidfold.app.writing import read_csv
from vidfold.checks import check_known

AVERAGE = "average"
"""The name of the mean over the other benchmarks of a table."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Number:
    """One published number.

    Attributes:
        table: its name.
        backbone: the model, or empty.
        frames: of a video, or None.
        method: as its paper calls it; "Vanilla" keeps all tokens.
        setting: another difference between numbers of one method, such as the hardware; mostly empty.
        retention: share of the tokens that the language model is given, or None.
        benchmark: or another quantity.
        value: as printed; its decimals say how precise it is.
        unit: of the value.
        source: where it was published; see `sources`.
        note: an error in the number or another remark, or empty.
    """

    table: str
    backbone: str
    frames: int | None
    method: str
    setting: str
    retention: float | None
    benchmark: str
    value: Decimal
    unit: str
    source: str
    note: str


Row: TypeAlias = dict[str, Number]
"""Benchmark -> number, of one method at one retention from one source."""


@dataclass(frozen=True)
class Published:
    """One table.

    Attributes:
        name: for `load`; the numbers 1 to 4 are this collection's own.
        title: of the table.
        numbers: in their order.
        remarks: errata and other remarks on the whole table.
    """

    name: str
    title: str
    numbers: tuple[Number, ...]
    remarks: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Names of all tables."""
    return tuple(row["table"] for row in _lines("about/tables"))


def load(name: str) -> Published:
    """The table of that name; "table1" is "1".

    Raises:
        ValueError: there is none.
    """
    name = name.removeprefix("table")
    titles = {row["table"]: row["title"] for row in _lines("about/tables")}
    check_known("no published table", name, list(titles))
    remarks = (row["remark"] for row in _lines("about/remarks") if row["table"] == name)
    return Published(name, titles[name], tuple(map(_number, _lines(name))), tuple(remarks))


def rows(numbers: Iterable[Number]) -> list[Row]:
    """Numbers by benchmark for each method, retention and source, in the order of the table."""
    grouped: dict[tuple[object, ...], Row] = {}
    for number in numbers:
        key = (number.backbone, number.frames, number.method, number.setting, number.retention, number.source)
        grouped.setdefault(key, {})[number.benchmark] = number
    return list(grouped.values())


def first(row: Row) -> Number:
    """The first number of a row, for what all of them share."""
    return next(iter(row.values()))


def file(name: str) -> Path:
    """The CSV file of a table."""
    return _FOLDER / f"{name}.csv"


def sources() -> dict[str, dict[str, str]]:
    """Where numbers come from: the name in `Number.source` -> name, kind and reference.

    A kind is paper, other paper, log, code, repository, issue, claim, derived or unknown. A reference says how to find
    the source, and how it was read.
    """
    return {row["name"]: row for row in _lines("about/sources")}


def _lines(name: str) -> list[dict[str, str]]:
    return read_csv(file(name))[1]


def _number(row: dict[str, str]) -> Number:
    found, known = list(row), [field.name for field in fields(Number)]
    if found != known:
        raise ValueError(f"a table of published numbers has the columns {', '.join(known)}, not {', '.join(found)}")
    parsed: dict[str, Any] = {
        "frames": int(row["frames"]) if row["frames"] else None,
        "retention": float(row["retention"]) if row["retention"] else None,
        "value": Decimal(row["value"]),
    }
    return Number(**row | parsed)

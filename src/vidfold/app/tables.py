"""Results as text: tables and readable quantities."""

import dataclasses
import math
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfold.reducers import Reducer
    from vidfold.tower import TowerMethod

PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
ROUNDS_UP = 0.9995
"""From this share of a unit on, three digits round up to 1.00."""
NARROWEST = 20
"""Columns are not made narrower than this many characters."""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns, two spaces apart; on a narrow terminal the widest columns are wrapped."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = shutil.get_terminal_size((120, 24)).columns - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines: list[str] = []
    for row in rows:
        pairs = zip(row, widths, strict=True)
        wrapped = [textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in pairs]
        aligned = (
            [f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)]
            for cells in zip_longest(*wrapped, fillvalue="")
        )
        lines += ["  ".join(cells).rstrip() for cells in aligned]
    return "\n".join(lines)


def wrapped(text: str, indent: str = "") -> str:
    """Lines within the width of the terminal, indented where one goes on; names are not broken at hyphens."""
    width, _ = shutil.get_terminal_size((120, 24))
    wrapper = textwrap.TextWrapper(width, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(map(wrapper.fill, text.splitlines()))


def duration(milliseconds: float) -> str:
    """Milliseconds as text, from 1,000 on in seconds."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def amount(value: float | None, unit: str) -> str:
    """A number with three digits and an SI prefix, such as "442 kB"; "-" for None."""
    if value is None:
        return "-"
    prefix, size = next(((prefix, size) for prefix, size in PREFIXES if value >= ROUNDS_UP * size), ("", 1.0))
    return f"{digits(value / size)} {prefix}{unit}".strip()


def digits(value: float) -> str:
    """A number with three digits and no exponent."""
    return f"{value:.{0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2}f}"


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first row is the head, and all columns except the first are right-aligned."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    head, *body = ("| " + " | ".join(row) + " |" for row in cells)
    return "\n".join([head, "|---" + "|---:" * (len(cells[0]) - 1) + "|", *body])


def percent(share: float | None, digits: int = 3) -> str:
    """A share in %, such as "12.5 %"; empty for None."""
    return "" if share is None else f"{100 * share:.{digits}g} %"


def plus_minus(value: float, error: float = math.nan, *, sign: str = "", scale: float = 100.0) -> str:
    """A number with its error, such as "91.6 ± 0.4"; "-" if it is NaN. ``sign`` "+" is for differences.

    By default shares are told in %, differences of shares in points. A NaN error is omitted.
    """
    if math.isnan(value):
        return "-"
    told = "" if math.isnan(error) else f" ± {scale * error:.1f}"
    return f"{scale * value + 0.0:{sign}.1f}{told}"


def described(method: "Reducer | TowerMethod") -> str:
    """The method's name with its retention and all fields that differ from their defaults."""
    fields = ((field, getattr(method, field.name)) for field in dataclasses.fields(method))
    told = [
        f"{field.name}={value!r}"
        for field, value in fields
        # The retention is None where a number of tokens is given.
        if (value is not None if field.name == "retention" else value != field.default)
    ]
    return f"{method.name}({', '.join(told)})"

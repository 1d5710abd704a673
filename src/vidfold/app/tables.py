"""Results as text: aligned tables and readable quantities."""

import dataclasses
import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfold.reducers import Reducer

UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("bytes", 1))
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
        wrapped = [textwrap.wrap(cell, width) if cell else [""] for cell, width in zip(row, widths, strict=True)]
        aligned = (
            [f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)]
            for cells in zip_longest(*wrapped, fillvalue="")
        )
        lines += ["  ".join(cells).rstrip() for cells in aligned]
    return "\n".join(lines)


def duration(milliseconds: float) -> str:
    """Milliseconds as text, from 1,000 on in seconds."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def memory(count: int) -> str:
    """Bytes as text, with three digits in the largest unit that fits."""
    # 999,700 would round to 1,000 kB: from 0.9995 of a unit on that unit is used.
    unit, size = next(((unit, size) for unit, size in UNITS if count >= 0.9995 * size), UNITS[-1])
    return f"{count / size:.3g} {unit}"


def described(reducer: "Reducer") -> str:
    """The method's name with its retention and all fields that differ from their defaults."""
    told = [
        f"{field.name}={getattr(reducer, field.name)!r}"
        for field in dataclasses.fields(reducer)
        if field.name == "retention" or getattr(reducer, field.name) != field.default
    ]
    return f"{reducer.name}({', '.join(told)})"

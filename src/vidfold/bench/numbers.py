"""Measured numbers as text, and Markdown tables of them."""

import math
from collections.abc import Iterable, Sequence


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

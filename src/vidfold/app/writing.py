"""Text and CSV files that are complete or absent."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vidfold.replacing import replacing

Row = dict[str, str]
"""One row of a CSV file: column -> text."""


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as a CSV file in UTF-8.

    Raises:
        ValueError: a row has other columns.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: str | Path) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a CSV file.

    Raises:
        ValueError: a file that is not a CSV table in UTF-8, or holds a field longer than ``csv.field_size_limit()``.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            columns, rows = tuple(table.fieldnames or ()), list(table)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a readable CSV table ({error}): give another folder, or move the file away"
        ) from error
    if any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{str(path)!r} has rows that are longer or shorter than its head: move the file away")
    return columns, rows

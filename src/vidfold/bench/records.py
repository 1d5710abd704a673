"""Tidy CSV files that survive an interruption: a row is complete or absent."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = dict[str, str]
Key = tuple[str, ...]


class Records:
    """The rows of one CSV file, identified by some of their columns.

    Every `put` atomically replaces the whole file (POSIX and Windows), so readers and later runs see only complete
    rows. Only one process at a time may write.

    Attributes:
        path: path of the file; the first `put` creates it.
        columns: columns of the file.
        key: the columns that identify a row.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: Sequence[str]) -> None:
        self.path, self.columns, self.key = path, tuple(columns), tuple(key)
        self._rows: dict[Key, Row] = {}
        if path.exists():
            found, rows = _table(path)
            if found != self.columns:
                raise ValueError(
                    f"{str(path)!r} has other columns than this version writes: it comes from another version "
                    "or was edited; use another folder, or move the file away"
                )
            self._rows = {self.key_of(row): row for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def key_of(self, row: Row) -> Key:
        """The key of a row."""
        return tuple(row[column] for column in self.key)

    def get(self, key: Key) -> Row | None:
        """The row with this key, or None."""
        return self._rows.get(key)

    def put(self, row: Row) -> None:
        """Add a row, or replace the one with the same key."""
        rows = self._rows | {self.key_of(row): row}
        write(self.path, self.columns, rows.values())
        self._rows = rows


def read(path: Path) -> list[Row]:
    """All rows of a CSV file.

    Raises:
        ValueError: a file that is not a CSV table in UTF-8, or holds a field longer than ``csv.field_size_limit()``.
    """
    return _table(path)[1]


def write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file to a temporary path and move it into place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _table(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a CSV file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            rows = list(table)
            return tuple(table.fieldnames or ()), rows
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a readable CSV table ({error}): give another folder, or move the file away"
        ) from error

"""Tidy CSV files that survive an interruption: a row is complete or absent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidfold.app.writing import Row as Row
from vidfold.app.writing import read_csv, write_csv

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
            found, rows = read_csv(path)
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
        write_csv(self.path, self.columns, rows.values())
        self._rows = rows


def read(path: Path) -> list[Row]:
    """All rows of a CSV file."""
    return read_csv(path)[1]

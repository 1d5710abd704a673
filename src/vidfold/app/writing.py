"""Files that are complete or absent: each is written beside its place and moved there at the end."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Row = dict[str, str]
"""One row of a CSV file: column -> text."""


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to; it replaces ``path`` when the block ends (POSIX and Windows).

    After an error in the block, the old file is still there. A missing folder is created. Only one process at a time
    may write to a path.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        if part.is_file():
            part.unlink()
        if isinstance(error, OSError):
            raise OSError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        raise


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

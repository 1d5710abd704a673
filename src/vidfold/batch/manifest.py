"""Tables that list videos: CSV, JSON lines or Parquet, with a column ``path`` and others that may be left out."""

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vidfold import extras
from vidfold.app.asking import check_question
from vidfold.batch.tasks import MANIFESTS, Task

COLUMNS = ("path", "question", "id", "start", "end")
"""What is read; other columns are ignored."""


def is_manifest(name: str) -> bool:
    """Whether an input is a table of videos, by its name."""
    return os.path.splitext(name)[1].lower() in MANIFESTS and not os.path.isdir(name)


def read_manifest(name: str, questions: Sequence[str]) -> Iterator[Task]:
    """The videos of a table: one a row, with its question, or with ``questions`` where it has none.

    Paths are relative to the folder of the table. Without an id, a row is named by its path, start and end.

    Raises:
        ValueError: a table that cannot be read or is empty, without a column ``path``, or with a row that says the
            same as another, has no path or has times that are no part of a video; the message says which.
    """
    folder, seen, number = os.path.dirname(name), dict[tuple[str, str], Task](), 0
    for number, row in enumerate(_rows(name), start=1):
        if "path" not in row:
            raise ValueError(f"{name!r} has no column 'path'; it has: {', '.join(map(str, row)) or 'none'}")
        where = f"row {number} of {name!r}"
        task = _task(where, row, folder, questions)
        for question in task.questions:
            if seen.setdefault((task.id, question), task) is not task:
                raise ValueError(f"{where} asks again {question!r} of id {task.id!r}: take it out, or give another id")
        yield task
    if not number:
        raise ValueError(f"{name!r} has no rows")


def _task(where: str, row: dict[str, Any], folder: str, questions: Sequence[str]) -> Task:
    path, question, own, start, end = (row.get(name) for name in COLUMNS)
    if not isinstance(path, str) or not path:
        raise ValueError(f"{where} has no path, got {path!r}")
    start, end = (_seconds(where, name, value) for name, value in (("start", start), ("end", end)))
    if start is not None and end is not None and end <= start:
        raise ValueError(f"{where} ends at {end:g} s, before its start at {start:g} s")
    if question not in (None, ""):
        check_question(str(question))
        questions = [str(question)]
    if "://" not in path:
        path = f"{folder}/{path}" if "://" in folder else os.path.join(folder, path)
    task = Task.of(path, questions, start=start, end=end)
    named = task.id if task.whole else f"{task.id}#{start or 0:g}-{'' if end is None else f'{end:g}'}"
    return Task(named if own in (None, "") else str(own), task.path, task.questions, start, end)


def _seconds(where: str, name: str, value: Any) -> float | None:
    """A time; None where there is none."""
    if value in (None, "") or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} of {where} must be seconds of at least 0, got {value!r}")
    return seconds


def _rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a table as column -> value."""
    kind = os.path.splitext(name)[1].lower()
    try:
        with _opened(name) as file:
            if kind == ".parquet":
                yield from _parquet(file)
                return
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if kind == ".csv" else "\n")
            if kind == ".csv":
                table = csv.DictReader(text, strict=True)
                if "path" not in (table.fieldnames or ()):
                    raise ValueError(f"it has no column 'path', it has: {', '.join(table.fieldnames or ()) or 'none'}")
                for number, row in enumerate(table, start=1):
                    if None in row:
                        raise ValueError(f"row {number} has more fields than columns: put text with commas in quotes")
                    yield row
                return
            for line in text:
                if line.strip():
                    row = json.loads(line)
                    yield row if isinstance(row, dict) else {}
    except (OSError, ValueError, csv.Error) as error:  # what is not UTF-8 or JSON is a ValueError, and so is pyarrow's
        raise ValueError(f"{name!r} cannot be read as a table of videos: {error}") from error


@contextmanager
def _opened(name: str) -> Iterator[Any]:
    if "://" in name:
        with extras.load("fsspec", "batch").open(name, "rb") as file:
            yield file
    else:
        with open(name, "rb") as file:
            yield file


def _parquet(file: Any) -> Iterator[dict[str, Any]]:
    """Rows a thousand at a time, so that a table of any length takes little memory."""
    table = extras.load("pyarrow.parquet", "batch").ParquetFile(file)
    names = [name for name in COLUMNS if name in table.schema_arrow.names]
    if "path" not in names:
        raise ValueError(f"it has no column 'path', it has: {', '.join(table.schema_arrow.names)}")
    for batch in table.iter_batches(1000, columns=names):
        yield from batch.to_pylist()

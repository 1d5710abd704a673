"""What an output folder holds: parts, a journal of rows that are not in one yet, and files that say what they are.

Names begin with "_" except those of parts, so readers of Parquet folders see parts alone.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.batch.rows import Row

JOURNAL, SETTINGS, RUN, LOCK = "_journal.jsonl", "_settings.json", "_run.json", "_lock"


def rows_of(output: str | os.PathLike[str]) -> Iterator[Row]:
    """The rows of an output folder, a thousand at a time in memory, also while a run goes on."""
    folder = Path(output)
    read_settings(folder)
    fresh = {each["key"]: each for each in journal(folder)}  # first, since rows go from here to parts
    for path in parts(folder):
        for batch in extras.load("pyarrow.parquet", "batch").ParquetFile(path).iter_batches(1000):
            for each in batch.to_pylist():
                fresh.pop(each["key"], None)
                yield each
    yield from fresh.values()


def status(output: str | os.PathLike[str]) -> dict[str, Any]:
    """What an output folder holds.

    Returns:
        ``rows``, ``wanted`` by the last run, ``errors``, ``reasons`` (the most frequent ones and how often), ``parts``,
        ``running`` (whether a process writes to it now) and ``settings``.

    Raises:
        ValueError: a folder that is no output, or a damaged part.
    """
    folder = Path(output)
    settings = read_settings(folder)
    found = {each["key"]: each["error"] for each in journal(folder)}
    found |= {key: error for path in parts(folder) for key, error in keys_of(path)}
    reasons = Counter(error for error in found.values() if error is not None)
    try:
        locked(folder).release()
        running = False
    except ValueError:
        running = True
    wanted = json.loads((folder / RUN).read_text(encoding="utf-8"))["rows"] if (folder / RUN).exists() else None
    return {
        "rows": len(found),
        "wanted": wanted,
        "errors": reasons.total(),
        "reasons": dict(reasons.most_common(10)),
        "parts": len(parts(folder)),
        "running": running,
        "settings": settings,
    }


def locked(folder: Path, seconds: float = 0.0) -> Any:
    """A lock on an output folder, which ends with this process; a ValueError where another one holds it for so long."""
    filelock = extras.load("filelock", "batch")
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=seconds)
    except filelock.Timeout:
        told = ""
        if (folder / RUN).exists():
            run = json.loads((folder / RUN).read_text(encoding="utf-8"))
            told = f" (the last one to begin is process {run['process']} on {run['host']})"
        raise ValueError(
            f"another run writes to {str(folder)!r}{told}: wait for its end, or give another --output"
        ) from None
    return lock


def parts(folder: Path) -> list[Path]:
    """The parts of a folder, in the order in which they were written."""
    return sorted(path for path in folder.glob("part-*.parquet") if re.fullmatch(r"part-\d+", path.stem))


def keys_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """Key and error of every row of a part; a ValueError where it cannot be read."""
    try:
        table = extras.load("pyarrow.parquet", "batch").read_table(path, columns=["key", "error"])
        yield from zip(table["key"].to_pylist(), table["error"].to_pylist(), strict=True)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}): move it away, and its rows are asked again") from error


def journal(folder: Path) -> Iterator[Row]:
    """The rows of the journal, up to a line that was cut short."""
    path = folder / JOURNAL
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            found = json.loads(line)
        except ValueError:
            return
        if not isinstance(found, dict) or "key" not in found:
            return
        yield found


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a folder's rows; a ValueError where there are none."""
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(folder)!r} is no output of 'vidfold batch' ({error})") from error
    return settings

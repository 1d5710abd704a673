"""Samples as lines of JSON: the answer, its tokens and its times. An interrupted run continues from them."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from vidfold.app.writing import write_text

Record = dict[str, Any]
"""A recorded sample, identified by ``key`` and ``config``; ``error`` is None if it was answered."""

SUMMARY, ROW = "vidfold.json", "row.json"
"""Files beside the samples: the settings of a run with its means, and the row of ``vidfold reproduce`` that it is."""


class Records:
    """The samples of one configuration in a folder.

    Every process of a run appends to its own file and reads the files of all, so a run may continue with another number
    of processes. A line that an interruption cut short is ignored, and its sample is asked again.

    Attributes:
        folder: of the files; None keeps the samples in memory only.
        config: hash of the configuration; samples of other configurations are ignored.
    """

    def __init__(self, folder: Path | None, config: str, rank: int = 0) -> None:
        self.folder, self.config, self._rank = folder, config, rank
        self._done: dict[str, Record] = {}
        self.reload()

    def reload(self) -> None:
        """Read the samples that all processes have written so far."""
        for path in sorted(self.folder.glob("samples.rank*.jsonl")) if self.folder else ():
            # str.splitlines would also split at U+2028, U+2029 and U+0085, which JSON may hold unchanged.
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if isinstance(record, dict) and record.get("config") == self.config:
                    self._done[record["key"]] = record

    def get(self, key: str) -> Record | None:
        """The answered sample of a key, or None."""
        found = self._done.get(key)
        return found if found is not None and found["error"] is None else None

    def put(self, records: Sequence[Record]) -> None:
        """Add samples and append them to the file."""
        records = [{"config": self.config} | record for record in records]
        self._done |= {record["key"]: record for record in records}
        if self.folder is not None:
            _append(self.folder / f"samples.rank{self._rank}.jsonl", records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._done.values())


def _append(path: Path, records: Sequence[Record]) -> None:
    """Append records to a file with one JSON object a line; an OSError names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():  # an interruption may have cut the last line
                file.seek(-1, os.SEEK_END)
                file.write(b"\n" if file.read(1) != b"\n" else b"")
            file.writelines(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def means(records: Sequence[Record]) -> dict[str, Any]:
    """Means over the answered samples, in all and per task: tokens, share of tokens kept, and seconds."""
    answered = [record for record in records if record["error"] is None]
    tasks: dict[str, list[Record]] = {}
    for record in answered:
        tasks.setdefault(record["task"], []).append(record)
    seconds: dict[str, list[float]] = {}
    for record in answered:
        for stage, value in record["seconds"].items():
            seconds.setdefault(stage, []).append(value)
    return {
        "tokens": _tokens(answered),
        "seconds": {stage: fmean(values) for stage, values in seconds.items()},
        "samples": len(answered),
        "errors": len(records) - len(answered),
        "tasks": {name: {"tokens": _tokens(members), "samples": len(members)} for name, members in tasks.items()},
    }


def _tokens(records: Sequence[Record]) -> dict[str, Any]:
    counts = [record["tokens"] for record in records]
    kept = [count["after"] / count["before"] for count in counts]
    told = {name: fmean(count[name] for count in counts) if counts else None for name in ("before", "after", "inside")}
    spread = {"mean": fmean(kept), "std": pstdev(kept)} if kept else {"mean": None, "std": None}
    return told | {"kept": spread | {"n": len(kept)}}


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; it is moved to its place only when it is complete."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def load_object(path: Path, required: str | None = None) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: no JSON object, or one without the object ``required``.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} holds no JSON object: neither lmms-eval nor vidfold wrote it")
    if required and not isinstance(content.get(required), dict):
        raise ValueError(f"{str(path)!r} has no object {required!r}: neither lmms-eval nor vidfold wrote it")
    return content

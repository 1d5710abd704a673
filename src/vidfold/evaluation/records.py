"""Samples as lines of JSON: the answer, its tokens and its times. An interrupted run continues from them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from vidfold.bench.writing import append_lines, read_lines, write_text

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
            self._done |= {line["key"]: line for line in read_lines(path) if line.get("config") == self.config}

    def get(self, key: str) -> Record | None:
        """The answered sample of a key, or None."""
        found = self._done.get(key)
        return found if found is not None and found["error"] is None else None

    def put(self, records: Sequence[Record]) -> None:
        """Add samples and append them to the file."""
        records = [{"config": self.config} | record for record in records]
        self._done |= {record["key"]: record for record in records}
        if self.folder is not None:
            append_lines(self.folder / f"samples.rank{self._rank}.jsonl", records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._done.values())


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

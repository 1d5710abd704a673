"""Samples as lines of JSON: the answer, its tokens and its times. An interrupted run continues from them."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidfold.app.writing import append_lines, read_lines, write_text

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
        self.folder, self.config = folder, config
        self._path = folder / f"samples.rank{rank}.jsonl" if folder else None
        self._done: dict[str, Record] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self.reload()

    def reload(self) -> None:
        """Read the samples that all processes have written so far."""
        assert self.folder is not None
        for path in sorted(self.folder.glob("samples.rank*.jsonl")):
            self._done |= {line["key"]: line for line in read_lines(path) if line.get("config") == self.config}

    def get(self, key: str) -> Record | None:
        """The answered sample of a key, or None."""
        found = self._done.get(key)
        return found if found is not None and found["error"] is None else None

    def put(self, records: Sequence[Record]) -> None:
        """Add samples and append them to the file."""
        records = [{"config": self.config} | record for record in records]
        self._done |= {record["key"]: record for record in records}
        if self._path is None:
            return
        append_lines(self._path, records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._done.values())

    def __len__(self) -> int:
        return len(self._done)


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Means over the answered samples, in all and per task: tokens, share of tokens kept, and seconds."""
    answered = [record for record in records if record["error"] is None]
    tasks: dict[str, list[Record]] = {}
    for record in answered:
        tasks.setdefault(record["task"], []).append(record)
    return {
        "tokens": _tokens(answered),
        "seconds": _seconds(answered),
        "samples": len(answered),
        "errors": len(records) - len(answered),
        "tasks": {name: {"tokens": _tokens(members), "samples": len(members)} for name, members in tasks.items()},
    }


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


def _tokens(records: Sequence[Record]) -> dict[str, Any]:
    if not records:
        return {"before": None, "after": None, "kept": {"mean": None, "std": None, "n": 0}, "inside": None}
    kept = [record["tokens"]["after"] / record["tokens"]["before"] for record in records]
    return {
        "before": statistics.fmean(record["tokens"]["before"] for record in records),
        "after": statistics.fmean(record["tokens"]["after"] for record in records),
        "kept": {"mean": statistics.fmean(kept), "std": statistics.pstdev(kept), "n": len(kept)},
        "inside": statistics.fmean(record["tokens"]["inside"] for record in records),
    }


def _seconds(records: Sequence[Record]) -> dict[str, float]:
    stages = dict.fromkeys(stage for record in records for stage in record["seconds"])
    return {
        stage: statistics.fmean(record["seconds"][stage] for record in records if stage in record["seconds"])
        for stage in stages
    }

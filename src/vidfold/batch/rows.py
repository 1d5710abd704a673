"""A row of the output: one question about one video, with its answer or the reason why there is none."""

import hashlib
from collections.abc import Mapping
from typing import Any

from vidfold import extras
from vidfold.batch.tasks import Task

Row = dict[str, Any]

STAGES = ("decode", "preprocess", "encode", "fold", "splice", "read", "generate")
"""Whose seconds a row has; ``read`` is all of preprocess to splice and the prompt, where questions share a reading."""


def key_of(task: Task, question: str, settings: str) -> str:
    """What makes a row: the id of the video, the question and the hash of the settings; 32 hex digits."""
    content = "\0".join((task.id, question, settings)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def row(task: Task, question: str, settings: str, model: str, **known: Any) -> Row:
    """A row; what is not known is None.

    Args:
        task: the video.
        question: one of its questions.
        settings: their hash.
        model: fingerprint of its weights; "" where no model was reached.
        known: other columns.
    """
    named = {"key": key_of(task, question, settings), "id": task.id, "path": task.path, "question": question}
    empty = dict.fromkeys(("answer", "tokens_before", "tokens_after", "frames", "times", "notes", "seconds", "error"))
    told = {"start": task.start, "end": task.end, "settings": settings, "model": model}
    made: Row = named | told | empty | known
    return {name: _text(value) if isinstance(value, str) else value for name, value in made.items()}


def failed(task: Task, settings: str, model: str, reason: str) -> list[Row]:
    """A row with the reason for every question of a video."""
    return [row(task, each, settings, model, error=reason) for each in task.questions]


def schema() -> Any:
    """The columns of a part, for pyarrow."""
    pa = extras.load("pyarrow", "batch")
    text, real, count = pa.string(), pa.float64(), pa.int64()
    columns = {"key": text, "id": text, "path": text, "question": text, "start": real, "end": real, "answer": text}
    columns |= {"tokens_before": count, "tokens_after": count, "frames": count, "times": pa.list_(real), "notes": text}
    columns |= {"seconds": pa.struct(dict.fromkeys(STAGES, real)), "settings": text, "model": text, "error": text}
    return pa.schema(columns)


def seconds(stages: Mapping[str, float]) -> dict[str, float | None]:
    """Seconds of all stages, None for those that were not there."""
    return {stage: stages.get(stage) for stage in STAGES}


def _text(value: str) -> str:
    """Text as UTF-8 can hold it: bytes of file names that are none are written as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()

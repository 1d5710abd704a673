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
    empty = dict.fromkeys(("answer", "tokens_before", "tokens_after", "frames", "times", "notes", "seconds", "error"))
    named = {
        "key": key_of(task, question, settings),
        "id": task.id,
        "path": task.path,
        "question": question,
        "start": task.start,
        "end": task.end,
    }
    made: Row = named | empty | {"settings": settings, "model": model} | known
    return {name: _text(value) if isinstance(value, str) else value for name, value in made.items()}


def failed(task: Task, settings: str, model: str, reason: str, **known: Any) -> list[Row]:
    """A row with the reason for every question of a video."""
    return [row(task, each, settings, model, error=reason, **known) for each in task.questions]


def schema() -> Any:
    """The columns of a part, for pyarrow."""
    pa = extras.load("pyarrow", "batch")
    seconds = pa.struct([(stage, pa.float64()) for stage in STAGES])
    text = ("key", "id", "path", "question", "answer", "notes", "settings", "model", "error")
    types = dict.fromkeys(text, pa.string()) | dict.fromkeys(("start", "end"), pa.float64())
    types |= dict.fromkeys(("tokens_before", "tokens_after", "frames"), pa.int64())
    types |= {"times": pa.list_(pa.float64()), "seconds": seconds}
    order = ("key", "id", "path", "question", "start", "end", "answer", "tokens_before", "tokens_after", "frames")
    return pa.schema(
        [(name, types[name]) for name in (*order, "times", "notes", "seconds", "settings", "model", "error")]
    )


def seconds(stages: Mapping[str, float]) -> dict[str, float | None]:
    """Seconds of all stages, None for those that were not there."""
    return {stage: stages.get(stage) for stage in STAGES}


def _text(value: str) -> str:
    """Text as UTF-8 can hold it: bytes of file names that are none are written as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()

"""What is asked of what: files, folders, patterns, addresses and manifests, as one list of videos with questions."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.app.asking import check_question

SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
"""Names of files that a folder is searched for."""
MANIFESTS = frozenset({".csv", ".jsonl", ".ndjson", ".parquet"})
"""Names of files that list videos."""
SINGLE = ("http", "https")
"""Addresses of these protocols name one file, whatever characters they hold."""


@dataclass(frozen=True, slots=True)
class Task:
    """A video, or a part of one, and what is asked about it.

    Attributes:
        id: names it in the output.
        path: of the video, or its address.
        questions: all different.
        start: second where it begins; None: at the beginning.
        end: second where it ends; None: at the end.
    """

    id: str
    path: str
    questions: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the video is asked about."""
        return self.start is None and self.end is None

    @classmethod
    def of(cls, path: str, questions: Sequence[str] = (), **known: Any) -> "Task":
        """A video that its path names, absolute if it is a file here."""
        path = path if "://" in path else os.path.abspath(path)
        return cls(path, path, tuple(questions), **known)


def merged(tasks: Iterable[Task]) -> list[Task]:
    """Every video once, with all of its questions.

    Raises:
        ValueError: no video, no question about one, or one id for two videos.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        known = found.get(task.id, task)
        if (known.path, known.start, known.end) != (task.path, task.start, task.end):
            raise ValueError(f"id {task.id!r} names two videos, {known.path!r} and {task.path!r}: give each its own id")
        if known is task and not task.questions:
            raise ValueError(f"nothing is asked about {task.path!r}: give a question, or a column 'question'")
        new = tuple(each for each in task.questions if each not in known.questions)
        found[task.id] = replace(known, questions=known.questions + new) if new else known
    if not found:
        raise ValueError("no video was given: give files, folders, patterns, addresses or a manifest")
    return list(found.values())


def listed(name: str, questions: Sequence[str]) -> Iterator[Task]:
    """Videos of one input that is no manifest; see `vidfold.batch.run`.

    Raises:
        ValueError: a file that is not there, a folder without videos, or a pattern that fits none.
    """
    if "://" in name and not name.startswith("file://"):
        paths = _at_address(name)
    else:
        local = name.removeprefix("file://")
        if os.path.isdir(local):
            paths = sorted(_inside(local, set()))
            if not paths:
                raise ValueError(f"folder {name!r} holds no video ({', '.join(SUFFIXES)})")
        elif os.path.lexists(local):  # also where its name has characters of patterns
            paths = [local]
        elif has_magic(local):
            paths = sorted(each for each in glob(local, recursive=True) if not os.path.isdir(each))
            if not paths:
                raise ValueError(f"no file is called as {name!r} says")
        else:
            raise ValueError(f"{name!r} does not exist; give a file, a folder, a pattern or an address")
    return (Task.of(path, questions) for path in paths)


def read_questions(path: str) -> list[str]:
    """The lines of a file, without empty ones.

    Raises:
        ValueError: a file that is not there, is not UTF-8, or has no question.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path!r} cannot be read as questions: {error}") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ValueError(f"{path!r} has no question: write one in a line")
    return found


def checked_questions(questions: Sequence[str]) -> list[str]:
    """Questions, each once; a ValueError where one is empty."""
    for each in questions:
        check_question(each)
    return list(dict.fromkeys(questions))


def _inside(folder: str, above: set[tuple[int, int]]) -> Iterator[str]:
    """Files in a folder and below that are called like videos; links to folders above are not followed."""
    facts = os.stat(folder)
    place = (facts.st_dev, facts.st_ino)
    if place in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.isdir(entry.path):
                yield from _inside(entry.path, above | {place})
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield entry.path


def _at_address(name: str) -> list[str]:
    """Addresses of the videos that an address names: itself, those below a folder, or those that fit a pattern."""
    protocol = name.partition("://")[0]
    if protocol in SINGLE:
        return [name]
    fsspec = extras.load("fsspec", "batch")
    try:
        system, path = fsspec.core.url_to_fs(name)
        if has_magic(path):
            found = [each for each in system.glob(path) if not system.isdir(each)]
        elif system.isdir(path):
            found = [each for each in system.find(path) if os.path.splitext(each)[1].lower() in SUFFIXES]
        else:
            return [name]
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(f"{name!r} cannot be listed: {type(error).__name__}: {error}") from error
    if not found:
        raise ValueError(f"{name!r} holds no video")
    return [system.unstrip_protocol(each) for each in sorted(found)]

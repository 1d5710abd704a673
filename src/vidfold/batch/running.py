"""A run from inputs to rows."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from vidfold import extras
from vidfold.batch.events import Engine
from vidfold.batch.ledger import Ledger
from vidfold.batch.local import Local
from vidfold.batch.manifest import is_manifest, read_manifest
from vidfold.batch.rows import key_of
from vidfold.batch.scheduling import Scheduler
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task, checked_questions, listed, merged

Input = str | os.PathLike[str] | Task


def run(
    inputs: Input | Sequence[Input],
    questions: str | Sequence[str] = (),
    *,
    output: str | os.PathLike[str],
    settings: Settings = Settings(),  # noqa: B008
    resources: Resources = Resources(),  # noqa: B008
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    retry_errors: bool = False,
    watch: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Ask questions about many videos, and write one row for each video and question, whatever fails.

    A run that was ended at any moment goes on where it was: call it again.

    Args:
        inputs: files; folders, searched for videos; patterns such as ``clips/**/*.mp4``; addresses that fsspec reads;
            tables (.csv, .jsonl, .parquet) with a column ``path`` and, where wanted, ``question``, ``id``, ``start``
            and ``end`` in seconds; or tasks.
        questions: about every video that has none of its own.
        output: folder of Parquet parts, whose columns `vidfold.batch.rows.schema` has.
        settings: what decides the answers.
        resources: what decides how fast they come.
        engine: where workers run: processes of this machine, or a Ray cluster.
        address: of the cluster; None starts one on this machine.
        retry_errors: whether rows with an error are asked again.
        watch: called with the state of the run about once a second.

    Returns:
        What was done.

    Raises:
        ValueError: inputs that name no video, no question, an output of other settings or of another process, or a
            model that does not load.
        OSError: an output that cannot be written.
        MissingExtra: a package of the extra ``batch``, or Ray, is not installed.
    """
    every = [inputs] if isinstance(inputs, str | os.PathLike | Task) else list(inputs)
    asked = checked_questions([questions] if isinstance(questions, str) else questions)
    tasks = merged(task for each in every for task in _tasks(each, asked))
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', got {engine!r}")
    if engine == "local" and address is not None:
        raise ValueError(f"address={address!r} is of a Ray cluster: give engine='ray'")
    extras.need("models", "video", "batch")
    with Ledger(output, settings) as ledger:
        if retry_errors:
            ledger.forget_errors({key for task in tasks for key in _keys(task, settings)})
        total = sum(len(task.questions) for task in tasks)
        left = [new for task in tasks if (new := _without(task, ledger.done, settings)).questions]
        missing = sum(len(task.questions) for task in left)
        ledger.begin(total)
        if not left:
            return Tally(total, total, 0, 0, errors=len(ledger.failed))
        resources = replace(resources, workers=min(resources.workers, len(left)))
        place = _engine(engine, settings, resources, address)
        decoders = resources.workers * (place.resources.decoders or 1)
        tally = Tally(total, total - missing, resources.workers, decoders, errors=len(ledger.failed))
        try:
            Scheduler(place, ledger, tally, watch).run(left)
        finally:
            place.close()
    return tally


def _tasks(given: Input, questions: Sequence[str]) -> Iterator[Task]:
    if isinstance(given, Task):
        return iter([given if given.questions else replace(given, questions=tuple(questions))])
    name = os.fspath(given)
    return read_manifest(name, questions) if is_manifest(name) else listed(name, questions)


def _keys(task: Task, settings: Settings) -> list[str]:
    return [key_of(task, question, settings.hash) for question in task.questions]


def _without(task: Task, done: set[str], settings: Settings) -> Task:
    """A video with those of its questions that have no row."""
    pairs = zip(task.questions, _keys(task, settings), strict=True)
    left = tuple(question for question, key in pairs if key not in done)
    return task if len(left) == len(task.questions) else replace(task, questions=left)


def _engine(engine: str, settings: Settings, resources: Resources, address: str | None) -> Engine:
    if engine == "local":
        return Local(settings, resources)
    from vidfold.batch.cluster import Cluster

    return Cluster(settings, resources, address)

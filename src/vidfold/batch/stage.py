"""Answers as a stage of a pipeline of one's own, such as one of Ray Data."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from vidfold import extras
from vidfold.app.asking import check_question
from vidfold.batch.rows import schema
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tasks import Task
from vidfold.batch.worker import Worker

NEW = ("answer", "tokens_before", "tokens_after", "frames", "times", "notes", "seconds", "settings", "model", "error")
"""Columns that are added."""


@dataclass(frozen=True)
class Ask:
    """Adds answers to tables with a column ``path``: ``ds.map_batches(Ask("what is shown?"))`` in Ray Data.

    A process loads the model at its first table and keeps it. Videos of a table are decoded while others are answered,
    so tables should have several times ``resources.batch_size`` rows. A video that cannot be read has its reason in the
    column ``error``. A process that dies is the pipeline's business.

    Attributes:
        question: about every video; None takes the column ``question``.
        settings: what decides the answers.
        resources: of a process; ``workers`` and ``gpus`` are the pipeline's.
    """

    question: str | None = None
    settings: Settings = Settings()  # noqa: RUF009
    resources: Resources = Resources()  # noqa: RUF009

    def __post_init__(self) -> None:
        if self.question is not None:
            check_question(self.question)

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """A table of pyarrow, or columns by name, as a table with the columns of `NEW`.

        Raises:
            ValueError: no column ``path`` or ``question``, or a model that does not load.
        """
        pa = extras.load("pyarrow", "batch")
        table = batch if isinstance(batch, pa.Table) else pa.table(dict(batch))
        for name in ("path",) if self.question is not None else ("path", "question"):
            if name not in table.column_names:
                raise ValueError(f"there is no column {name!r}, only: {', '.join(table.column_names)}")
        paths = table["path"].to_pylist()
        questions = table["question"].to_pylist() if self.question is None else [self.question] * len(paths)
        worker = _worker(self.settings, self.resources.placed(1))
        futures = [worker.submit(Task.of(path, [each])) for path, each in zip(paths, questions, strict=True)]
        rows = [row for future in futures for row in future.result()]
        for name in NEW:
            column = pa.array([row[name] for row in rows], schema().field(name).type)
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(name, column)
        return table


@cache
def _worker(settings: Settings, resources: Resources) -> Worker:
    return Worker(settings, resources)

"""Rows of a recipe to be run: the folder of their results, and the command of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold.evaluation.recipe import Recipe, Row
from vidfold.evaluation.settings import Settings, digest, written

DONE = "row.json"
"""A file beside the results of a finished row, with its hash and command."""


@dataclass(frozen=True)
class Plan:
    """The rows to run, and how.

    Attributes:
        recipe: of the table.
        rows: of the recipe.
        output: folder, with one folder for each row.
        changes: arguments that replace those of all rows.
        tasks: benchmark -> task that replaces the recipe's; None is the recipe's. Other names are tasks of their own,
            run for every row.
        limit: most samples of a task.
        include_path: folder of more tasks.
        batch_size: requests per call.
        processes: number of processes that share the samples; accelerate starts them if there are several.
    """

    recipe: Recipe
    rows: tuple[Row, ...]
    output: Path
    changes: Mapping[str, Any]
    tasks: Mapping[str, str] | None = None
    limit: int | None = None
    include_path: Path | None = None
    batch_size: int = 1
    processes: int = 1

    def folder(self, row: Row) -> Path:
        """The folder of a row's results."""
        return self.output / self.recipe.name / row.id

    def settings(self, row: Row) -> Settings:
        """The settings of a row.

        Raises:
            ValueError: a change that the row's method refuses.
        """
        try:
            return Settings.of(**{**row.arguments, **self.changes})
        except ValueError as error:
            raise ValueError(f"row {row.id}: {error}") from error

    def chosen(self, row: Row) -> list[str]:
        """Tasks of a row."""
        benchmarks = self.recipe.benchmarks
        chosen = benchmarks if self.tasks is None else self.tasks
        mine = row.benchmarks or tuple(benchmarks)
        return [task for name, task in chosen.items() if name in mine or name not in benchmarks]

    def command(self, row: Row) -> list[str]:
        """The command of a row, as it would be typed."""
        if self.recipe.bench:
            return self._bench(row)
        arguments = {**row.arguments, **self.changes}
        command = ["lmms-eval"]
        if self.processes > 1:
            command = ["accelerate", "launch", "--num_processes", str(self.processes), "-m", "lmms_eval"]
        command += ["--model", "vidfold"]
        command += ["--model_args", written(arguments)]
        command += ["--tasks", ",".join(self.chosen(row)), "--batch_size", str(self.batch_size)]
        command += ["--output_path", str(self.folder(row)), "--log_samples"]
        if self.limit is not None:
            command += ["--limit", str(self.limit)]
        if self.include_path is not None:
            command += ["--include_path", str(self.include_path)]
        return command

    def hash(self, row: Row) -> str:
        """Identifies what a row runs: its settings, tasks and limit."""
        return digest([self.settings(row).hash, self.recipe.bench, self.chosen(row), self.limit])

    def done(self, row: Row) -> bool:
        """Whether a row has results of the same configuration."""
        path = self.folder(row) / DONE
        return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("hash") == self.hash(row)

    def _bench(self, row: Row) -> list[str]:
        arguments = {**row.arguments, **self.changes}
        command = ["vidfold", "bench", self.recipe.bench]
        named = {"pretrained": "model", "attention": "attn"}
        named |= {name: name for name in ("dtype", "device", "frames", "method", "retention")}
        for name, option in named.items():
            if name in arguments:
                command += [f"--{option}", str(arguments.pop(name))]
        for name, value in arguments.items():
            command += ["--set", f"{name}={value}"]
        return [*command, "--output", str(self.folder(row))]

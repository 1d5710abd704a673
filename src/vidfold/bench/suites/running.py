"""Run a suite: measure what is missing, case by case, and save it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from vidfold import tiny
from vidfold.app.loading import VideoModel, load
from vidfold.bench.provenance import provenance, settings_of, weights_digest
from vidfold.bench.records import Records, Row
from vidfold.bench.suites import counts
from vidfold.bench.suites.cases import Case, Read
from vidfold.bench.suites.panel import FULL, Watcher, score
from vidfold.bench.suites.plan import MODELS, UNFOLDED, Cell, Plan
from vidfold.bench.suites.statistics import kind_accuracy, mean_accuracy
from vidfold.bench.summary import written
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS
from vidfold.tokens import Pooling, VideoTokens

FILE, COUNTS = "suite.csv", "counts"
CASE = ("suite", "model", "weights", "dtype", "world", "split", "clips", "frames")
KEY = (*CASE, "method", "asked", "settings")
"""Columns that identify a cell; ``asked`` is the requested retention, ``settings`` all fields of the method."""
COLUMNS = (
    *KEY,
    *("questions", "layer_retention", "accuracy_mean", "accuracy_mean_se"),
    *(f"accuracy_{kind}{end}" for kind in KINDS for end in ("", "_se")),
    *("counts", "vidfold", "code", "torch", "transformers", "numpy", "python"),
    *("system", "processor", "threads", "device", "date"),
)
"""Columns of the file.  ``layer_retention`` is the measured share of the tokens; ``counts`` names the file with the
answers of every clip and, after a colon, the cell's label in it: see `vidfold.bench.suites.counts`."""


@dataclass(frozen=True, eq=False)
class Results:
    """Results of a suite: the scores of every case, by method and retention, and the rows of the file."""

    plan: Plan
    scores: Mapping[Case, Mapping[Cell, Score]]
    rows: list[Row]


def run(
    plan: Plan,
    output: str | Path,
    *,
    device: str | None = None,
    models: Mapping[Read, VideoModel] | None = None,
    watch: Watcher | None = None,
) -> Results:
    """Measure what a folder does not have yet; every case is saved as soon as it is finished.

    Args:
        plan: what to compare.
        output: folder; created if it is missing.
        device: device of the models; None: a GPU if there is one.
        models: loaded models to use instead of the shipped ones, as "varied" and "whole".
        watch: called with (done, total) clips.

    Raises:
        ValueError: missing weights, a method that cannot fold a clip, or a folder with another version's file.
    """
    folder, cases = Path(output), plan.cases()
    records = Records(folder / FILE, COLUMNS, KEY)
    loaded = models or _load(dict.fromkeys(case.model for case in cases), device)
    benches = [_Bench(plan, case, loaded[case.model], folder) for case in cases]
    missing = [bench.missing(records) for bench in benches]
    done, total = 0, sum(plan.clips for open_ in missing if open_)
    for bench, open_ in zip(benches, missing, strict=True):
        if open_:
            for made in bench.measure(open_, _offset(watch, done, total)):
                records.put(made)
            done += plan.clips
    return Results(
        plan,
        {bench.case: bench.scores() for bench in benches},
        [row for bench in benches for cell in plan.cells() if (row := bench.row(records, cell))],
    )


@dataclass(frozen=True, eq=False)
class _Bench:
    """One case of a plan with its model and its results in a folder."""

    plan: Plan
    case: Case
    loaded: VideoModel
    folder: Path

    def missing(self, records: Records) -> list[Cell]:
        """Cells without a row, or without saved answers."""
        there = counts.load(self.folder / self._file)
        cells = self.plan.cells()
        return [cell for cell in cells if self._label(cell) not in there or self.row(records, cell) is None]

    def measure(self, cells: Iterable[Cell], watch: Watcher | None) -> list[Row]:
        """Measure these cells, save their answers, and return their rows."""
        entries = {cell: entry for cell, entry in self.plan.entries().items() if cell in cells}
        found = score(self.loaded.model, self.case, list(entries.values()), watch)
        scores = {cell: found[FULL if cell == UNFOLDED else entries[cell].label] for cell in cells}
        kept = counts.load(self.folder / self._file)
        counts.save(self.folder / self._file, kept | {self._label(cell): each for cell, each in scores.items()})
        shared = dict.fromkeys(COLUMNS, "") | provenance(self.loaded.model)
        return [
            shared | self._key(cell) | numbers(each) | {"counts": f"{self._file}:{self._label(cell)}"}
            for cell, each in scores.items()
        ]

    def scores(self) -> dict[Cell, Score]:
        """The saved scores of all cells."""
        there = counts.load(self.folder / self._file)
        return {cell: there[self._label(cell)] for cell in self.plan.cells()}

    def row(self, records: Records, cell: Cell) -> Row | None:
        """The row of a cell, or None."""
        return records.get(records.key_of(self._key(cell)))

    @cached_property
    def _own(self) -> dict[str, str]:
        """The key columns of this case."""
        return {
            "suite": self.plan.suite.name,
            "model": self.case.model,
            "weights": weights_digest(self.loaded.model),
            "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
            "world": self.case.world,
            "split": self.case.split,
            "clips": str(self.case.clips),
            "frames": " ".join(map(str, self.case.frames)),
        }

    @cached_property
    def _file(self) -> str:
        return f"{COUNTS}/{self.case.model}-{self.case.world}-{_digest(self._own)}.npz"

    def _label(self, cell: Cell) -> str:
        method, asked = cell
        return f"{method} {asked:g} {_digest(self._settings[cell])}"

    def _key(self, cell: Cell) -> Row:
        method, asked = cell
        return self._own | {"method": method, "asked": written(asked), "settings": self._settings[cell]}

    @cached_property
    def _settings(self) -> dict[Cell, str]:
        """The settings of every method."""
        vision = self.loaded.model.config.vision_config
        side = vision.image_size // vision.patch_size
        shape = VideoTokens(torch.zeros(1, side * side, 1), (side, side), Pooling.BILINEAR)
        return {UNFOLDED: "{}"} | {cell: settings_of(each.make(shape, 0)) for cell, each in self.plan.entries().items()}


def _load(names: Iterable[Read], device: str | None) -> dict[Read, VideoModel]:
    for name in names:
        folder = tiny.path(name)
        if not (folder / "config.json").is_file():
            raise ValueError(f"the model {MODELS[name]!r}, which a suite also needs, has no weights in {str(folder)!r}")
    return {name: load(MODELS[name], device=device) for name in names}


def numbers(score: Score) -> Row:
    """Columns of a row for a score."""
    asked = [kind for kind, count in zip(KINDS, score.asked.sum(0), strict=True) if count]
    estimates = {"mean": mean_accuracy(score)} | {kind: kind_accuracy(score, kind) for kind in asked}
    row = {"questions": written(int(score.asked.sum())), "layer_retention": written(float(score.kept.mean()))}
    for kind, each in estimates.items():
        row |= {f"accuracy_{kind}": written(each.value), f"accuracy_{kind}_se": written(each.error)}
    return row


def _offset(watch: Watcher | None, before: int, total: int) -> Watcher | None:
    """The watcher of one case, after ``before`` clips of earlier cases."""
    return None if watch is None else lambda done, _: watch(before + done, total)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]

"""Measure settings clip by clip, and save every clip at once: a run continues where it was interrupted."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from vidfold import models
from vidfold.app.loading import VideoModel
from vidfold.bench.clips import Sample, Source
from vidfold.bench.numbers import percent
from vidfold.bench.provenance import code_of, provenance, settings_of, weights_digest
from vidfold.bench.records import Outcomes, Records, Values
from vidfold.bench.scores import Score
from vidfold.bench.settings import FULL, Fold, Setting
from vidfold.bench.summary import COLUMNS as NUMBERS
from vidfold.bench.summary import score_of, summary, written
from vidfold.bench.writing import Row
from vidfold.tokens import VideoTokens

Measure = Callable[[Sample, VideoTokens, Sequence[Fold]], list[dict[str, float]]]
"""Values of every fold of one clip, by name; a ValueError if one of the folds cannot be measured.

Names that occur in `vidfold.bench.summary.COLUMNS` or that `score_of` reads come into the table; others only into the
file of clips."""
Watch = Callable[[int, int], None]
Tell = Callable[[str], None]

MEASURED = "measured"
"""``status`` of a measured cell; for other cells it is the reason why they were not measured."""
KEY = ("suite", "model", "weights", "dtype", "source", "seed", "max_new_tokens", "method", "asked")
"""Columns that identify a cell; ``asked`` is the requested retention."""
COLUMNS = (
    *KEY,
    *("status", "method_code", "settings", "world"),
    *NUMBERS,
    *("outcomes", "vidfold", "code", "torch", "transformers", "numpy", "python"),
    *("system", "processor", "threads", "device", "date"),
)
"""Columns of the file: key, status, settings, numbers (`vidfold.bench.summary`) and provenance.

``method_code`` is the digest of the method's source and of what it imports: a row of other code is stale. ``outcomes``
names the file with the values of every clip (`vidfold.bench.records.Outcomes`) and, after a colon, the label in it."""
CLIPS = "clips"
_STRIDE = 1_000_003  # between a clip's seeds for consecutive bench seeds; more than there are clips


@dataclass(frozen=True, eq=False)
class Bench:
    """One model with one set of clips."""

    loaded: VideoModel
    source: Source


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured.

    Attributes:
        settings: the settings; `FULL` is the first.
        benches: models with their clips.
        measures: what is measured of every fold.
        file: name of the CSV file.
        suite: name of the suite, or empty.
        seed: seed of random methods; each clip gets a different one.
        max_new_tokens: maximum length of the answers that models are compared on.
    """

    settings: tuple[Setting, ...]
    benches: tuple[Bench, ...]
    measures: tuple[Measure, ...]
    file: str
    suite: str = ""
    seed: int = 0
    max_new_tokens: int = 16

    @property
    def folded(self) -> list[Setting]:
        """The settings without `FULL`."""
        return [each for each in self.settings if each != FULL]


@dataclass(frozen=True, eq=False)
class Cell:
    """One setting of one bench: its row, and its right answers if it was measured and the true ones are known."""

    row: Row
    score: Score | None


@dataclass(frozen=True, eq=False)
class Results:
    """All cells of a plan, bench by bench in the order of its settings."""

    plan: Plan
    cells: Mapping[tuple[Bench, Setting], Cell]

    @property
    def rows(self) -> list[Row]:
        """The rows of all cells."""
        return [cell.row for cell in self.cells.values()]


def run(plan: Plan, output: str | Path, *, watch: Watch | None = None, tell: Tell | None = None) -> Results:
    """Measure what a folder does not have yet.

    Every clip is saved as soon as it is measured, and every row as soon as all its clips are. Rows of other code of
    their method are stale: they are measured again. So are cells that could not run.

    Args:
        plan: what to measure.
        output: folder; created if it is missing.
        watch: called with (done, total) clips.
        tell: called with a sentence about stale rows.

    Raises:
        ValueError: a folder with a file of another version, or one that cannot be read.
        OSError: a folder that cannot be written.
    """
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from error
    records = Records(folder / plan.file, COLUMNS, KEY)
    jobs = [_Job(plan, bench, folder, records) for bench in plan.benches]
    stale: dict[str, dict[str, None]] = {}
    for setting in (each for job in jobs for each in job.stale()):
        stale.setdefault(setting.method, {})[percent(setting.retention)] = None
    if tell is not None and stale:
        told = "; ".join(f"{method} at {', '.join(shares)}" for method, shares in stale.items())
        tell(f"stale, measured again: {told} (the code of the method has changed)")
    total = sum(len(job.bench.source.clips) for job in jobs if job.open)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if watch is not None:
            watch(done, total)

    cells: dict[tuple[Bench, Setting], Cell] = {}
    for job in jobs:
        job.run(step)
        cells |= {(job.bench, setting): job.cell(setting) for setting in plan.settings}
    return Results(plan, cells)


def measure(
    sample: Sample, tokens: VideoTokens, settings: Sequence[Setting], measures: Sequence[Measure], seed: int = 0
) -> tuple[dict[Setting, Values], dict[Setting, str]]:
    """The values of one clip with every setting, and the reason for settings that cannot run."""
    family, folds = models.family(sample.loaded.model), list[Fold]()
    values, refused = dict[Setting, dict[str, float]](), dict[Setting, str]()
    for setting in settings:
        try:
            family.check_needs(setting.example.needs)
            folds.append(Fold.of(setting, tokens, sample.draw + _STRIDE * seed))
        except ValueError as error:
            refused[setting] = str(error)
    for fold in folds:
        before = tokens.frames * tokens.cells
        values[fold.setting] = {"questions": len(sample.questions), "tokens_before": before, "tokens_after": before}
        if fold.reduction is not None and fold.milliseconds is not None:
            values[fold.setting] |= {
                "tokens_after": len(fold.reduction) - fold.reduction.newlines,
                "layer_retention": fold.reduction.retention,
                "fold_ms": fold.milliseconds,
            }
    for each in measures:
        for fold, found in zip(folds, _one_by_one(each, sample, tokens, folds), strict=True):
            if isinstance(found, str):
                refused.setdefault(fold.setting, found)
            else:
                values[fold.setting] |= found
    return {setting: values[setting] for setting in values if setting not in refused}, refused


def _one_by_one(
    by: Measure, sample: Sample, tokens: VideoTokens, folds: Sequence[Fold]
) -> list[dict[str, float] | str]:
    """The values of all folds together; if that fails, fold by fold, to tell which ones fail and why."""
    if not folds:
        return []
    try:
        return [*by(sample, tokens, folds)]
    except ValueError as error:
        if len(folds) == 1:
            return [str(error)]
        return [_one_by_one(by, sample, tokens, [fold])[0] for fold in folds]


@dataclass(frozen=True, eq=False)
class _Job:
    """One bench of a plan with its results in a folder."""

    plan: Plan
    bench: Bench
    folder: Path
    records: Records

    @cached_property
    def open(self) -> list[Setting]:
        """Settings without a finished row."""
        return [setting for setting in self.plan.settings if not self._finished(setting)]

    def stale(self) -> list[Setting]:
        """The settings with a row of other code."""
        rows = ((setting, self.records.get(self._key(setting))) for setting in self.plan.settings)
        return [each for each, row in rows if row is not None and row["method_code"] != self._code(each)]

    @torch.no_grad()
    def run(self, step: Callable[[], None]) -> None:
        """Measure the open settings on every clip, and write their rows."""
        if not self.open:
            return
        refused: dict[Setting, list[str]] = {}
        for place, name in enumerate(self._clips):
            missing = [setting for setting in self.open if not self._outcomes.has(self._label(setting), [name])]
            if missing:
                sample = self.bench.source.sample(place, self.bench.loaded)
                tokens = sample.encode(frozenset[str]().union(*(setting.example.needs for setting in missing)))
                values, reasons = measure(sample, tokens, missing, self.plan.measures, self.plan.seed)
                self._outcomes.put(name, {self._label(setting): each for setting, each in values.items()})
                for setting, reason in reasons.items():
                    refused.setdefault(setting, []).append(reason)
            step()
        self._outcomes.drop_others({_named(setting): self._label(setting) for setting in self.open})
        self._outcomes.pack()
        shared = dict.fromkeys(COLUMNS, "") | provenance(self.bench.loaded.model) | {"world": self.bench.source.world}
        tokens = self.bench.source.sample(0, self.bench.loaded).encode(frozenset())
        self.records.put([shared | self._row(setting, refused.get(setting, []), tokens) for setting in self.open])

    def cell(self, setting: Setting) -> Cell:
        """The saved cell of a setting."""
        row = self.records.get(self._key(setting))
        assert row is not None  # `run` was called
        measured = row["status"] == MEASURED
        return Cell(row, score_of(self._outcomes.arrays(self._label(setting), self._clips)) if measured else None)

    def _row(self, setting: Setting, refused: Sequence[str], tokens: VideoTokens) -> Row:
        fields = settings_of(setting.reducer(tokens, 0))
        row = self._key(setting) | {"method_code": self._code(setting), "settings": fields}
        if refused:
            some = f" on {len(refused)} of {len(self._clips)} clips" if len(refused) < len(self._clips) else ""
            return row | {"status": f"cannot run{some}: {refused[0]}"}
        full = self._label(FULL)
        found = self._outcomes.arrays(self._label(setting), self._clips)
        unfolded = self._outcomes.arrays(full, self._clips) if self._outcomes.has(full, self._clips) else None
        place = f"{CLIPS}/{self._outcomes.path.name}:{self._label(setting)}"
        return row | summary(found, unfolded) | {"status": MEASURED, "outcomes": place}

    def _finished(self, setting: Setting) -> bool:
        row = self.records.get(self._key(setting))
        fresh = row is not None and row["status"] == MEASURED and row["method_code"] == self._code(setting)
        return fresh and self._outcomes.has(self._label(setting), self._clips)

    def _code(self, setting: Setting) -> str:
        return code_of(type(setting.example).__module__)

    def _label(self, setting: Setting) -> str:
        return f"{_named(setting)} {self._code(setting)}"

    def _key(self, setting: Setting) -> Row:
        return self._own | {"method": setting.method, "asked": written(setting.retention)}

    @property
    def _clips(self) -> tuple[str, ...]:
        return self.bench.source.clips

    @cached_property
    def _own(self) -> Row:
        """The key columns of this bench."""
        model = self.bench.loaded.model
        return {
            "suite": self.plan.suite,
            "model": self.bench.loaded.name,
            "weights": weights_digest(model),
            "dtype": str(model.dtype).removeprefix("torch."),
            "source": self.bench.source.name,
            "seed": str(self.plan.seed),
            "max_new_tokens": str(self.plan.max_new_tokens),
        }

    @cached_property
    def _outcomes(self) -> Outcomes:
        digest = hashlib.sha256(repr(self._own).encode()).hexdigest()[:8]
        name = re.sub(r"[^\w.]+", "-", f"{Path(self.bench.loaded.name).name}-{self.bench.source.name}-{digest}")
        return Outcomes(self.folder / CLIPS / f"{name}.npz")


def _named(setting: Setting) -> str:
    return f"{setting.method} {setting.retention:g}"

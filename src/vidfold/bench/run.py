"""Measure settings clip by clip, and save every clip at once: a run continues where it was interrupted."""

import hashlib
import itertools
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from vidfold import models
from vidfold.app.tables import percent
from vidfold.app.writing import Row, read_csv, write_csv
from vidfold.bench.clips import Sample
from vidfold.bench.provenance import provenance, settings_of, weights_digest
from vidfold.bench.records import Outcomes
from vidfold.bench.results import MEASURED, Bench, Cell, Measure, Plan, Results, Values
from vidfold.bench.settings import FULL, Fold, Setting
from vidfold.bench.summary import COLUMNS as NUMBERS
from vidfold.bench.summary import summary, written
from vidfold.tokens import VideoTokens

Watch = Callable[[int, int], None]
Tell = Callable[[str], None]

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


@torch.no_grad()
def run(plan: Plan, output: str | Path, *, watch: Watch | None = None, tell: Tell | None = None) -> Results:
    """Measure what a folder does not have yet.

    Every clip is saved as soon as it is measured, and every row as soon as all its clips are. Rows of other code of
    their method are stale: they are measured again. So are cells that could not run.

    Args:
        plan: what to measure.
        output: folder; created if it is missing. Only one process at a time may write to it.
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
    rows = _rows(folder / plan.file)
    shared = {bench: _key(plan, bench) for bench in plan.benches}
    saved = {bench: Outcomes(folder / CLIPS / _archive(own), bench.source.clips) for bench, own in shared.items()}
    keys = {
        (bench, setting): (*own.values(), setting.method, written(setting.retention))
        for bench, own in shared.items()
        for setting in plan.settings
    }
    missing: dict[Bench, list[Setting]] = {}
    stale: dict[str, dict[str, None]] = {}
    for (bench, setting), key in keys.items():
        row = rows.get(key)
        if row is not None and row["method_code"] != setting.code:
            stale.setdefault(setting.method, {})[percent(setting.retention)] = None
        elif row is not None and row["status"] == MEASURED and saved[bench].has(setting.label):
            continue
        missing.setdefault(bench, []).append(setting)
    if tell is not None and stale:
        told = "; ".join(f"{method} at {', '.join(shares)}" for method, shares in stale.items())
        tell(f"stale, measured again: {told} (the code of the method has changed)")
    total, done = sum(len(bench.source.clips) for bench in missing), itertools.count(1)

    def step() -> None:
        if watch is not None:
            watch(next(done), total)

    for bench, settings in missing.items():
        refused = _measure_clips(plan, bench, settings, saved[bench], step)
        facts = dict.fromkeys(COLUMNS, "") | provenance(bench.loaded.model) | {"world": bench.source.world}
        tokens = bench.source.sample(0, bench.loaded).encode(frozenset())
        for setting in settings:
            key = keys[bench, setting]
            row = facts | dict(zip(KEY, key, strict=True)) | {"method_code": setting.code}
            row["settings"] = settings_of(setting.reducer(tokens, 0))
            rows[key] = row | _numbers(setting, saved[bench], refused.get(setting, []))
        write_csv(folder / plan.file, COLUMNS, rows.values())
    cells = {}
    for (bench, setting), key in keys.items():
        is_measured = rows[key]["status"] == MEASURED
        cells[bench, setting] = Cell(rows[key], saved[bench].arrays(setting.label) if is_measured else {})
    return Results(plan, cells)


def measure(
    sample: Sample, tokens: VideoTokens, settings: Sequence[Setting], measures: Sequence[Measure], seed: int = 0
) -> dict[Setting, Values | str]:
    """The values of one clip with every setting, or the reason why a setting cannot run."""
    family, folds, refused = models.family(sample.loaded.model), list[Fold](), dict[Setting, Values | str]()
    for setting in settings:
        try:
            family.check_needs(setting.example.needs)
            folds.append(Fold.of(setting, tokens, sample.draw + _STRIDE * seed))
        except ValueError as error:
            refused[setting] = str(error)
    return refused | _values(sample, tokens, folds, measures)


def _values(
    sample: Sample, tokens: VideoTokens, folds: Sequence[Fold], measures: Sequence[Measure]
) -> dict[Setting, Values | str]:
    """The values of all folds together; if that fails, fold by fold, to tell which ones fail and why."""
    if not folds:
        return {}
    try:
        found = zip(folds, *(each(sample, tokens, folds) for each in measures), strict=True)
    except ValueError as error:
        if len(folds) == 1:
            return {folds[0].setting: str(error)}
        alone = [_values(sample, tokens, [fold], measures) for fold in folds]
        return {setting: values for each in alone for setting, values in each.items()}
    every: dict[Setting, Values | str] = {}
    for fold, *parts in found:
        before = tokens.frames * tokens.cells
        values: dict[str, float] = {"questions": len(sample.questions), "tokens_before": before, "tokens_after": before}
        if fold.reduction is not None and fold.milliseconds is not None:
            values["tokens_after"] = len(fold.reduction) - fold.reduction.newlines
            values |= {"layer_retention": fold.reduction.retention, "fold_ms": fold.milliseconds}
        for part in parts:
            values |= part
        every[fold.setting] = values
    return every


def _measure_clips(
    plan: Plan, bench: Bench, settings: Sequence[Setting], saved: Outcomes, step: Callable[[], None]
) -> dict[Setting, list[str]]:
    """Measure and save what is missing of every clip; for settings that could not run, the reason for every clip."""
    refused: dict[Setting, list[str]] = {}
    saved.keep([setting.label for setting in settings])
    for place in range(len(bench.source.clips)):
        if missing := [each for each in settings if not saved.has(each.label, place)]:
            sample = bench.source.sample(place, bench.loaded)
            tokens = sample.encode(frozenset[str]().union(*(setting.example.needs for setting in missing)))
            found = measure(sample, tokens, missing, plan.measures, plan.seed)
            saved.put(place, {each.label: values for each, values in found.items() if not isinstance(values, str)})
            for setting, reason in found.items():
                if isinstance(reason, str):
                    refused.setdefault(setting, []).append(reason)
        step()
    return refused


def _numbers(setting: Setting, saved: Outcomes, refused: Sequence[str]) -> Row:
    """The status of a setting, and its numbers if it could run on every clip."""
    if refused:
        some = f" on {len(refused)} of {len(saved.clips)} clips" if len(refused) < len(saved.clips) else ""
        return {"status": f"cannot run{some}: {refused[0]}"}
    unfolded = saved.arrays(FULL.label) if saved.has(FULL.label) else None
    place = f"{CLIPS}/{saved.path.name}:{setting.label}"
    return {"status": MEASURED, "outcomes": place} | summary(saved.arrays(setting.label), unfolded)


def _key(plan: Plan, bench: Bench) -> Row:
    """The columns of `KEY` that all settings of a bench share."""
    model = bench.loaded.model
    return {
        "suite": plan.suite,
        "model": bench.loaded.name,
        "weights": weights_digest(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "source": bench.source.name,
        "seed": str(plan.seed),
        "max_new_tokens": str(plan.max_new_tokens),
    }


def _archive(key: Row) -> str:
    """Name of the file with the values of every clip."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
    return re.sub(r"[^\w.]+", "-", f"{Path(key['model']).name}-{key['source']}-{digest}") + ".npz"


def _rows(path: Path) -> dict[tuple[str, ...], Row]:
    """The rows of a file by the values of `KEY`; none if there is no file.

    Raises:
        ValueError: a file with other columns, or one that cannot be read.
    """
    columns, rows = read_csv(path) if path.exists() else (COLUMNS, [])
    if columns != COLUMNS:
        raise ValueError(
            f"{str(path)!r} has other columns than this version writes: it comes from another version "
            "or was edited; use another folder, or move the file away"
        )
    return {tuple(row[column] for column in KEY): row for row in rows}

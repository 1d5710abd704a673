"""Measure any methods at any retentions on the same clips; results are saved cell by cell."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vidfold import models as families
from vidfold.app.loading import VideoModel, load
from vidfold.app.writing import write_csv
from vidfold.bench import summary
from vidfold.bench.measuring import Outcome, Prepared, measure
from vidfold.bench.provenance import provenance, settings_of, weights_digest
from vidfold.bench.records import Key, Records, Row
from vidfold.bench.sources import Scenes, Source
from vidfold.checks import check_count, check_ratio
from vidfold.reducers import METHODS, get
from vidfold.tiny.evaluate import FULL, Setting

ALL = "all"
"""Stands for every method of the registry."""
FILE = "quality.csv"
MEASURED = "measured"
"""``status`` of a measured cell; for other cells it is the reason why they were not measured."""
KEY = ("model", "weights", "dtype", "source", "seed", "max_new_tokens", "method", "asked")
"""Columns that identify a cell; ``asked`` is the requested retention."""
COLUMNS = (
    *KEY,
    "status",
    "settings",
    *summary.COLUMNS,
    *("outcomes", "seconds", "vidfold", "code", "torch", "transformers", "numpy", "python"),
    *("system", "processor", "threads", "device", "date"),
)
"""Columns of the file: key, status, settings, numbers (`vidfold.bench.summary`) and provenance."""

Watcher = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class _Bench:
    """One model with one set of clips."""

    loaded: VideoModel
    source: Source
    seed: int
    max_new_tokens: int

    @cached_property
    def _weights(self) -> str:
        return weights_digest(self.loaded.model)

    def key(self, setting: Setting) -> dict[str, str]:
        """The key columns of a cell."""
        return {
            "model": self.loaded.name,
            "weights": self._weights,
            "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
            "source": self.source.name,
            "seed": str(self.seed),
            "max_new_tokens": str(self.max_new_tokens),
            "method": setting.method,
            "asked": summary.written(setting.retention),
        }

    def prepare(self, settings: Sequence[Setting], step: Callable[[int], None]) -> list[Prepared]:
        """Every clip, encoded with all fields that the methods need and the model gives."""
        needs = frozenset[str]().union(*(get(setting.method).needs for setting in settings))
        given = needs & families.family(self.loaded.model).gives
        clips = []
        for sample in self.source.samples(self.loaded):
            clips.append(Prepared.of(self.loaded, sample, given, self.max_new_tokens))
            step(1)
        return clips

    def cell(self, setting: Setting, clips: Sequence[Prepared], folder: Path, step: Callable[[int], None]) -> Row:
        """The row of one method at one retention; results per clip go to a separate file."""
        start = time.perf_counter()
        key = self.key(setting)
        row: Row = dict.fromkeys(COLUMNS, "") | provenance(self.loaded.model) | key
        outcomes: list[Outcome] = []
        try:
            families.family(self.loaded.model).check_needs(get(setting.method).needs)
            for clip in clips:
                outcomes.append(measure(clip, setting, self.seed))
                step(1)
        except ValueError as refusal:
            step(len(clips) - len(outcomes))
            return row | {"status": f"cannot run: {refusal}", "seconds": summary.written(time.perf_counter() - start)}
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
        name = f"clips/{setting.method}-{key['asked']}-{digest}.csv"
        write_csv(folder / name, summary.CLIP_COLUMNS, summary.clip_rows(outcomes, clips))
        return (
            row
            | summary.summary(outcomes, clips, self.seed)
            | {
                "status": MEASURED,
                "settings": settings_of(setting.reducer(clips[0].tokens, clips[0].sample.draw)),
                "outcomes": name,
            }
            | {"seconds": summary.written(time.perf_counter() - start)}
        )


def quality(
    methods: Sequence[str],
    retentions: Sequence[float],
    clips: int | Sequence[Source],
    output: str | Path,
    *,
    models: Sequence[VideoModel] = (),
    seed: int = 0,
    max_new_tokens: int = 16,
    watch: Watcher | None = None,
) -> list[Row]:
    """Measure every method at every retention, and the unfolded baseline, on the same clips.

    Each cell (model, clips, method, retention) is measured once and immediately saved to ``quality.csv`` in ``output``;
    later calls read it from there. Cells that could not run are tried again. Every clip is encoded once for all methods
    and stays in memory on the model's device.

    Args:
        methods: names of the registry, or "all".
        retentions: shares of the tokens, in (0, 1].
        clips: how many clips of the embedded model's first world (`Scenes`), or any sources.
        output: folder; created if it is missing.
        models: loaded models; empty: the embedded model.
        seed: seed of random methods (each clip gets a different one) and of the bootstrap.
        max_new_tokens: maximum length of the unfolded answers that models are compared on.
        watch: called with (done, total) for progress.

    Returns:
        The rows of all requested cells as in the file, unfolded baselines first.

    Raises:
        ValueError: an unknown method, a retention out of range, or a folder with another version's file.
    """
    settings = plan(methods, retentions)
    check_count("seed", seed, least=0)
    check_count("max_new_tokens", max_new_tokens)
    sources = (Scenes(clips),) if isinstance(clips, int) else tuple(clips)
    folder = Path(output)
    records = Records(folder / FILE, COLUMNS, KEY)
    pairs = itertools.product(models or (load(),), sources)
    benches = [_Bench(loaded, source, seed, max_new_tokens) for loaded, source in pairs]
    missing = [[each for each in settings if not _finished(records, bench, each)] for bench in benches]
    total = sum(len(bench.source) * (1 + len(open_)) for bench, open_ in zip(benches, missing, strict=True) if open_)
    step = _counter(total, watch)
    for bench, open_ in zip(benches, missing, strict=True):
        if open_:
            prepared = bench.prepare(open_, step)
            for setting in open_:
                records.put(bench.cell(setting, prepared, folder, step))
    return [row for bench in benches for each in settings if (row := _found(records, bench, each)) is not None]


def plan(methods: Sequence[str], retentions: Sequence[float]) -> tuple[Setting, ...]:
    """The unfolded baseline, then every method at every retention, each once."""
    names = sorted(METHODS) if ALL in methods else methods
    shares = [check_ratio("retention", share) for share in retentions]
    if not names or not shares:
        raise ValueError(f"methods and retentions must not be empty, got {list(methods)} and {list(retentions)}")
    chosen = (Setting(name, share) for share in shares for name in names)
    return tuple(dict.fromkeys([FULL, *(each for each in chosen if each.method != FULL.method)]))


def _found(records: Records, bench: _Bench, setting: Setting) -> Row | None:
    key: Key = tuple(bench.key(setting).values())
    return records.get(key)


def _finished(records: Records, bench: _Bench, setting: Setting) -> bool:
    row = _found(records, bench, setting)
    return row is not None and row["status"] == MEASURED


def _counter(total: int, watch: Watcher | None) -> Callable[[int], None]:
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        if watch is not None:
            watch(done, total)

    return step

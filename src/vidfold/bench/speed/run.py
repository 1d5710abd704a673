"""A run: what is measured, and every way in turn, repeated while time is left."""

import dataclasses
import itertools
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidfold import models
from vidfold.app.asking import processed
from vidfold.app.loading import VideoModel
from vidfold.app.tables import described
from vidfold.bench import authors, random_inputs, random_weights
from vidfold.bench.provenance import provenance, weights_digest
from vidfold.bench.speed import work
from vidfold.bench.speed.memory import Peak, timed
from vidfold.bench.speed.results import AUTHORS, FOLD, PLAIN, PREFILL, STEP, TAPPED, Measured, Results
from vidfold.bench.speed.ways import LEAST, Stages, TowerTimes, parts, rotated, routes, stock
from vidfold.checks import check_count
from vidfold.reducers import AOT, AOTPaper, InnerReducer, Reducer
from vidfold.video import Frames, available, sample, write

GROUP = 2
"""Frames of each video per call of the vision tower on a CPU: a few seconds, so that all ways of running the tower
are measured under the same load of the machine."""
TOWER_SHARE = 0.8
"""Share of a case's time after which the vision tower takes no more samples."""
AUTHORS_PATCHES = 27 * 27
ATTENTION = frozenset({"shallow", "deep"})
"""Fields of `VideoTokens` with the received attention of one layer each."""
QUESTION = "What happens in this video, from its beginning to its end, and who or what takes part in it?"
TEXT, DTYPE, SEED = 64, "bfloat16", 0
"""Of a model with random weights: text tokens per prompt, dtype and seed."""

Watcher = Callable[[int, int], None]
"""Called with (done, total) after every step."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        reducer: the method.
        frames: frames per video; one case for each number.
        batches: videos per call; one case for each number, with every number of frames.
        runs: most time samples of every stage after the tower, and most passes of the tower.
        new_tokens: decoding steps timed after each first token.
        minutes: time limit; samples that do not fit are left out, except for the first three.

    Raises:
        ValueError: an invalid value, or a method inside the language model, which has no separate fold.
    """

    reducer: Reducer
    frames: tuple[int, ...] = (32,)
    batches: tuple[int, ...] = (1,)
    runs: int = LEAST
    new_tokens: int = 16
    minutes: float = 9.0

    def __post_init__(self) -> None:
        for name, counts in (("frames", self.frames), ("batches", self.batches)):
            if not counts:
                raise ValueError(f"{name} must hold at least one number")
            for count in counts:
                check_count(name, count)
        check_count("runs", self.runs, LEAST)
        check_count("new_tokens", self.new_tokens)
        minutes: object = self.minutes
        if isinstance(minutes, bool) or not isinstance(minutes, Real) or not 0 < float(minutes) < math.inf:
            raise ValueError(f"minutes must be a positive number, got {minutes!r}")
        if isinstance(self.reducer, InnerReducer):
            raise ValueError(
                f"{self.reducer.name} works inside the language model and has no separate fold to time; "
                "vidfold ask --compare times the whole answer"
            )


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with prompts for it.

    Attributes:
        name: the requested name.
        model: the transformers model.
        random: whether its weights are random.
        inputs: makes model inputs from the frames of a video and the number of videos.
    """

    name: str
    model: Any
    random: bool
    inputs: Callable[[Frames, int], dict[str, Any]]

    @classmethod
    def of(cls, loaded: VideoModel) -> "Subject":
        """A model with its processor and one question about every video."""
        return cls(loaded.name, loaded.model, False, lambda frames, n: processed(loaded, frames, [QUESTION] * n))

    @classmethod
    def with_random_weights(
        cls, name: str, *, device: str | None = None, dtype: str | None = None, attention: str | None = None
    ) -> "Subject":
        """A model with the sizes of a real checkpoint, random weights and random pixels.

        Raises:
            ValueError: an unknown model, or a device that does not exist.
        """
        if device is not None:
            _check_device(device)
        kind = DTYPE if dtype in (None, "auto") else str(dtype)
        model = random_weights.build(name, device=device, dtype=kind, attention=attention, seed=SEED)
        return cls(name, model, True, lambda frames, batch: random_inputs.inputs(model, len(frames), batch, text=TEXT))


def measure(
    plan: Plan, subject: Subject, *, video: str | Path | None = None, watch: Watcher | None = None, spent: float = 0.0
) -> Results:
    """Measure every case of a plan.

    Args:
        plan: what to measure.
        subject: the model.
        video: a file to read frames from; None: a generated one.
        watch: called with progress; the total grows with every case.
        spent: seconds of the plan's minutes already used, such as for loading.

    Raises:
        ValueError: the model lacks a field that the method needs, the device cannot be measured, or the video cannot be
            read.
    """
    _check_device(str(subject.model.device))
    models.family(subject.model).check_needs(plan.reducer.needs)
    end, steps, most = time.monotonic() + 60 * plan.minutes - spent, _Steps(watch), max(plan.frames)
    asked, cases = list(itertools.product(plan.frames, plan.batches)), []
    with ExitStack() as stack:
        file, words = Path(video or ""), str(video)
        if video is None:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "clip.mp4"
            words = film(file, most)
        if (there := available(file, most)) < most:
            raise ValueError(f"frames must be at most {there}, the number of frames in {words!r}, got {most}")
        for index, (frames, batch) in enumerate(asked):
            share = frames * batch / sum(map(math.prod, asked[index:]))
            seconds = share * max(0.0, end - time.monotonic())
            cases.append(_case(plan, subject, file, frames, batch, seconds, steps))
    fields, seed = dataclasses.asdict(plan.reducer), str(SEED) if subject.random else "-"
    attention = str(subject.model.config.get_text_config()._attn_implementation)
    own = {"attention": attention, "weights": weights_digest(subject.model), "seed": seed}
    return Results(
        model={"name": subject.name, "random_weights": subject.random, "parameters": subject.model.num_parameters()},
        method={"name": plan.reducer.name} | {name: _plain(value) for name, value in fields.items()},
        title=described(plan.reducer),
        video=words,
        provenance=provenance(subject.model) | own,
        memory_source=Peak(subject.model.device).source,
        group=_size(subject.model),
        cases=cases,
    )


def _case(
    plan: Plan, subject: Subject, file: Path, frames: int, batch: int, seconds: float, steps: "_Steps"
) -> Measured:
    """Warm up all ways, then take samples of the tower and of every way in turns."""
    end = time.monotonic() + seconds
    model, family, needs = subject.model, models.family(subject.model), plan.reducer.needs
    config, width = model.config, int(model.dtype.itemsize)
    is_counted = family.model_type == models.LlavaOnevision.model_type
    pixels, read_ms = timed(lambda: sample(file, frames), torch.device("cpu"))
    inputs = subject.inputs(pixels, batch)
    encoders = {PLAIN: stock(model), TAPPED: lambda inputs: family.encode(inputs, needs)}
    # The authors' setting is meant for AOT on a grid of 27x27 patches.
    if isinstance(plan.reducer, AOT | AOTPaper) and is_counted and work.patches(config) == AUTHORS_PATCHES:
        encoders[AUTHORS] = lambda inputs: authors.encode(model, inputs)
    tower = TowerTimes(encoders, list(parts(inputs, frames, batch, _size(model))), model.device)
    notes = [f"The {name}' tower does not fit into the memory of {tower.device}." for name in tower.warm_up()]
    if not is_counted:
        notes.append(f"Operations of the tower and bytes of the fold are not counted for {family.model_type}.")
    with_authors = AUTHORS in tower.ways
    videos = tower.encoded(family, needs | ATTENTION if with_authors else needs)
    stages = Stages(model, family, inputs, videos, plan.new_tokens)
    every = {route.name: route for route in routes(plan.reducer, videos, with_authors)}
    steps.expect(plan.runs * (len(tower.parts) + len(every)))
    ways = {name: stages.warm_up(route) for name, route in every.items()}
    spent = dict.fromkeys(every, 0.0)
    for turn in range(plan.runs):
        tower.run(lambda: end - time.monotonic() - (1 - TOWER_SHARE) * seconds, steps)
        for name in rotated(list(every), turn):
            if turn < LEAST or spent[name] < end - time.monotonic():
                spent[name] = timed(partial(stages.run, every[name], ways[name]), tower.device)[1] / 1000
            steps()
    text, visual = config.get_text_config(), videos[0].frames * videos[0].cells
    for way in ways.values():
        way.work[PREFILL] = work.prefill(text, batch, way.cache_positions, width)
        way.work[STEP] = work.step(text, batch, way.cache_positions, width)
        if is_counted and FOLD in way.milliseconds:
            way.work[FOLD] = work.fold(config, frames * batch, sum(way.tokens), width)
    tower_work = {PLAIN: work.encode(config, frames * batch, len(tower.parts), width)} if is_counted else {}
    if is_counted and needs & ATTENTION:
        tower_work[TAPPED] = work.received(config, frames * batch, len(needs & ATTENTION), width)
    return Measured(
        frames=frames,
        batch=batch,
        tokens=visual,
        text=inputs["input_ids"].shape[1] - visual,
        read_ms=read_ms,
        passes=tower.passes,
        tower_memory=tower.memory,
        tower_work=tower_work,
        papers_prefill={name: sum(work.papers_prefill(text, n) for n in way.tokens) for name, way in ways.items()},
        ways=list(ways.values()),
        notes=notes,
    )


class _Steps:
    """Counts steps for a watcher."""

    def __init__(self, watch: Watcher | None) -> None:
        self._watch, self._done, self._total = watch, 0, 0

    def expect(self, more: int) -> None:
        """Add ``more`` steps to the total."""
        self._total += more

    def __call__(self) -> None:
        self._done += 1
        if self._watch is not None:
            self._watch(self._done, self._total)


def film(path: Path, frames: int) -> str:
    """Write a clip of drifting coloured waves with ``frames`` different frames; returns a description."""
    fps, hold, scale = 2.0, 12, 8
    tick, row, column = np.ogrid[:frames, :45, :80]
    waves = [np.sin(0.13 * row + 0.3 * tick + k) + np.cos(0.11 * column - 0.2 * tick + 2 * k) for k in (0.0, 2.1, 4.2)]
    write(path, np.round(127.5 + 63 * np.stack(waves, -1)).astype(np.uint8), fps=fps, scale=scale, hold=hold)
    return f"a generated clip of {frames / fps:.0f} s, 640 x 360 at {fps * hold:.0f} frames per second, h264"


def _check_device(name: str) -> None:
    """Raise a ValueError for a device whose time and memory cannot be measured."""
    try:
        known = torch.device(name).type in ("cpu", "cuda")
    except RuntimeError:
        known = False
    if not known:
        raise ValueError(f"speed is measured on one device, such as 'cpu' or 'cuda:1', got {name!r}")


def _size(model: Any) -> int | None:
    """Frames of each video per call of the tower; None on a GPU: all at once, as in normal use."""
    return None if model.device.type == "cuda" else GROUP


def _plain(value: object) -> object:
    """A field's value for JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

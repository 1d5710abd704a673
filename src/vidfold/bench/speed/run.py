"""A run: what is measured, and every way in turn, repeated while time is left."""

import itertools
import math
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from vidfold import models
from vidfold.app import random_models
from vidfold.app.asking import processed, timed
from vidfold.app.loading import VideoModel
from vidfold.app.memory import Peak
from vidfold.app.tables import described
from vidfold.bench.provenance import provenance, weights_digest
from vidfold.bench.speed.results import AUTHORS, TOWER, Case, Results, Way
from vidfold.bench.speed.ways import folds, parts, run, sampled, towers
from vidfold.checks import Settings, check_count, check_positive, setting
from vidfold.reducers import InnerReducer, Reducer
from vidfold.video import Frames, available, sample, write

GROUP, GROUPS = 1, 3
"""Frames of each video per call of the vision tower on a CPU: few, so that all ways of running the tower are measured
under the same load of the machine; and calls in a turn, if there are so many."""
LEAST = 3
"""Least number of turns."""
ATTENTION = frozenset({"shallow", "deep"})
"""Fields of `VideoTokens` with the received attention of one layer each."""
QUESTION = "What happens in this video, from its beginning to its end, and who or what takes part in it?"
Tell = Callable[[str], None]
"""Called with a line of text: what comes next, and how long it is expected to take."""
TEXT, DTYPE, SEED = 64, "bfloat16", 0
"""Of a model with random weights: text tokens per prompt, dtype and seed."""


def _counts(name: str, values: tuple[int, ...]) -> None:
    """Check that there are values, each a whole number of at least 1."""
    if not values:
        raise ValueError(f"{name} must hold at least one number")
    for value in values:
        check_count(name, value)


@dataclass(frozen=True)
class Plan(Settings):
    """What is measured.

    Attributes:
        reducer: the method.
        frames: frames per video; one case for each number.
        batches: videos per call; one case for each number, with every number of frames.
        runs: most turns of all ways.
        new_tokens: decoding steps timed after each first token.
        minutes: for everything; what does not fit is left out, except for three turns.

    Raises:
        ValueError: an invalid value, or a method inside the language model, which has no separate fold.
    """

    reducer: Reducer
    frames: tuple[int, ...] = setting((32,), _counts)
    batches: tuple[int, ...] = setting((1,), _counts)
    runs: int = setting(LEAST, check_count, least=LEAST)
    new_tokens: int = setting(8, check_count)
    minutes: float = setting(3.0, check_positive)

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def shown(self, frames: Frames) -> dict[str, Any]:
        """Model inputs of one prompt with the pixels of these frames, also where `inputs` draws random ones."""
        inputs = self.inputs(frames, 1)
        return inputs | random_models.shown(self.model, frames.pixels) if self.random else inputs

    @classmethod
    def of(cls, loaded: VideoModel) -> Self:
        """A model with its processor and one question about every video."""
        return cls(loaded.name, loaded.model, False, lambda frames, n: processed(loaded, frames, [QUESTION] * n))

    @classmethod
    def with_random_weights(cls, name: str, device: str | None, dtype: str | None, attention: str | None) -> Self:
        """A model with the sizes of a real checkpoint, random weights and random pixels.

        Raises:
            ValueError: an unknown model, or a device that does not exist.
        """
        _check_device(device or "cpu")
        kind = DTYPE if dtype in (None, "auto") else str(dtype)
        model = random_models.build(name, device=device, dtype=kind, attention=attention, seed=SEED)
        return cls(name, model, True, lambda frames, batch: random_models.inputs(model, len(frames), batch, text=TEXT))


def measure(
    plan: Plan, subject: Subject, *, video: str | Path | None = None, tell: Tell = lambda _: None, spent: float = 0.0
) -> Results:
    """Measure every case of a plan.

    Args:
        plan: what to measure.
        subject: the model.
        video: a file to read frames from; None: a generated one.
        tell: called with progress.
        spent: seconds of the plan's minutes already used, such as for loading.

    Raises:
        ValueError: the model lacks a field that the method needs, the device cannot be measured, or the video cannot be
            read.
    """
    model, end, most = subject.model, time.monotonic() + 60 * plan.minutes - spent, max(plan.frames)
    _check_device(str(model.device))
    models.family(model).check_needs(plan.reducer.needs)
    asked, cases = list(itertools.product(plan.frames, plan.batches)), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4" if video is None else Path(video)
        words = film(file, most) if video is None else str(video)
        if (there := available(file, most)) < most:
            raise ValueError(f"frames must be at most {there}, the number of frames in {words!r}, got {most}")
        for index, (frames, batch) in enumerate(asked):
            now = time.monotonic()
            share = frames * batch / sum(map(math.prod, asked[index:]))
            cases.append(_case(plan, subject, file, frames, batch, now + share * max(0.0, end - now), tell))
    own = {
        "attention": str(model.config.get_text_config()._attn_implementation),
        "weights": weights_digest(model),
        "seed": str(SEED) if subject.random else "-",
    }
    return Results(
        model={"name": subject.name, "random_weights": subject.random, "parameters": model.num_parameters()},
        method=plan.reducer.as_dict(),
        title=described(plan.reducer),
        video=words,
        provenance=provenance(model) | own,
        memory_source=Peak(model.device).source,
        group=_size(model),
        cases=cases,
    )


@torch.no_grad()
def _case(plan: Plan, subject: Subject, file: Path, frames: int, batch: int, end: float, tell: Tell) -> Case:
    """Warm up all ways alike, then take samples of all in turns until the time ``end``, so that none runs alone."""
    model, family, needs = subject.model, models.family(subject.model), plan.reducer.needs
    minutes = max(0.0, end - time.monotonic()) / 60
    tell(f"{frames} frames, batch {batch}: warming up every way, about {minutes:.1f} minutes in all")
    pixels, read_ms = timed(sample, path=file, frames=frames)
    inputs = subject.inputs(pixels, batch)
    groups, encoders = parts(inputs, frames, batch, _size(model)), towers(family, plan.reducer)
    videos = family.encode(inputs, needs | ATTENTION if AUTHORS in encoders else needs)
    reductions = folds(plan.reducer, videos, AUTHORS in encoders)
    ways = {name: Way(name) for name in reductions}

    upcoming, a_turn = itertools.cycle(groups), min(GROUPS, len(groups))

    def turn(index: int, names: Sequence[str], *, warm: bool) -> float:
        """Seconds of a turn: the towers on some groups of frames, in direct succession, then all other stages."""
        start = time.monotonic()
        for number, (count, part) in enumerate(itertools.islice(upcoming, a_turn), a_turn * index):
            for name in rotated([name for name in names if name in encoders], number):
                sampled(ways[name], TOWER, partial(encoders[name], part), model.device, warm=warm, share=count)
        for name in rotated(names, index):
            run(family, inputs, plan.new_tokens, reductions[name], ways[name], warm=warm)
        return time.monotonic() - start

    seconds, theirs, reason = turn(0, [name for name in ways if name != AUTHORS], warm=True), 0.0, ""
    if AUTHORS in ways:
        try:
            theirs = turn(0, [AUTHORS], warm=True)
        except torch.OutOfMemoryError:
            reason = f"it does not fit into the memory of {model.device}"
        left = max(0.0, end - time.monotonic())
        if not reason and LEAST * (seconds + theirs) > left:
            told = f"{LEAST * (seconds + theirs):.0f} s, and {left:.0f} s are left"
            reason = f"three samples of every way take about {told}"
    if reason:
        del ways[AUTHORS]
    else:
        seconds += theirs
    tell(f"{len(ways)} ways in {LEAST} to {plan.runs} turns of about {seconds:.0f} s")
    for index in range(plan.runs):
        if index >= LEAST and seconds > end - time.monotonic():
            break
        turn(index, list(ways), warm=False)
        tell(f"turn {index + 1} of {plan.runs} is done")
    visual = videos[0].frames * videos[0].cells
    return Case(
        frames=frames,
        batch=batch,
        tokens=visual,
        text=inputs["input_ids"].shape[1] - visual,
        read_ms=read_ms,
        ways=list(ways.values()),
        notes=[f"The authors' way is left out: {reason}."] if reason else [],
    )


def rotated(ways: Sequence[str], turn: int) -> list[str]:
    """The names in a different order each turn, so that none is always first or always after the same one."""
    first, back = turn % len(ways), turn % 2
    order = [*ways[first + back :], *ways[: first + back]]
    return order[::-1] if back else order


def film(path: Path, frames: int) -> str:
    """Write a clip of drifting coloured waves with ``frames`` different frames; returns a description."""
    fps, hold, scale = 2.0, 12, 8
    tick, row, column = np.ogrid[:frames, :45, :80]
    waves = [np.sin(0.13 * row + 0.3 * tick + k) + np.cos(0.11 * column - 0.2 * tick + 2 * k) for k in (0.0, 2.1, 4.2)]
    write(path, np.round(127.5 + 63 * np.stack(waves, -1)).astype(np.uint8), fps=fps, scale=scale, hold=hold)
    return f"a generated clip of {frames / fps:.0f} s, 640 x 360 at {fps * hold:.0f} frames per second, h264"


def _check_device(name: str) -> None:
    """Raise a ValueError for a device whose time and memory cannot be measured."""
    if not re.fullmatch(r"(cpu|cuda)(:\d+)?", name):
        raise ValueError(f"speed is measured on one device, such as 'cpu' or 'cuda:1', got {name!r}")


def _size(model: Any) -> int | None:
    """Frames of each video per call of the tower; None on a GPU: all at once, as in normal use."""
    return None if model.device.type == "cuda" else GROUP

"""A complete run: every case, all ways in turn, repeated while time is left."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from vidfold.app.tables import described
from vidfold.bench.provenance import provenance
from vidfold.bench.speed import clip, ways
from vidfold.bench.speed.language import LanguageTimes, Route, Samples
from vidfold.bench.speed.memory import Peak
from vidfold.bench.speed.plan import GROUP, TOWER_SHARE, Case, Clock, Plan, groups, rotated
from vidfold.bench.speed.results import AUTHORS_TOWER, FOLDED, Measured, Results, Way
from vidfold.bench.speed.stopwatch import timed
from vidfold.bench.speed.subject import SEED, Subject, check_device
from vidfold.bench.speed.tower import TowerTimes
from vidfold.video import available, sample

Watcher = Callable[[int, int], None]
"""Called with (done, total) after every step."""


def measure(
    plan: Plan, subject: Subject, *, video: str | Path | None = None, watch: Watcher | None = None, spent: float = 0.0
) -> Results:
    """Measure every case of a plan.

    Args:
        plan: what to measure.
        subject: the model.
        video: a file to read frames from; None: a generated one.
        watch: called with progress; the total grows while repetitions still fit.
        spent: seconds of the plan's minutes already used, such as for loading.

    Raises:
        ValueError: the model lacks a field that the method needs, the device cannot be measured, or the video cannot be
            read.
    """
    check_device(str(subject.device))
    subject.family.check_needs(plan.reducer.needs)
    clock = Clock(max(0.0, 60 * plan.minutes - spent))
    step = _Step(watch)
    cases, most = [], max(plan.frames)
    with ExitStack() as stack:
        file, words = Path(video or ""), str(video)
        if video is None:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "clip.mp4"
            words = clip.film(file, most)
        if (there := available(file, most)) < most:
            raise ValueError(f"frames must be at most {there}, the number of frames in {words!r}, got {most}")
        for case, share in zip(plan.cases(), plan.shares(), strict=True):
            cases.append(_Case(plan, subject, case, Clock(share * clock.left), step).run(file))
    return Results(
        model={"name": subject.name, "random_weights": subject.random, "parameters": subject.model.num_parameters()},
        method={"name": plan.reducer.name} | {k: _plain(v) for k, v in dataclasses.asdict(plan.reducer).items()},
        title=described(plan.reducer),
        video=words,
        provenance=_provenance(subject),
        memory_source=Peak(subject.device).source,
        group=_size(subject),
        cases=cases,
    )


@dataclass(frozen=True, eq=False)
class _Case:
    """Measures one case."""

    plan: Plan
    subject: Subject
    case: Case
    clock: Clock
    step: _Step

    def run(self, file: Path) -> Measured:
        """Measure the tower and every way once, then repeat while time is left."""
        frames, read_ms = timed(lambda: sample(file, self.case.frames), torch.device("cpu"))
        inputs = self.subject.inputs(frames, self.case.batch)
        encoders = ways.tower_ways(self.subject, self.plan)
        tower = TowerTimes(self.case, inputs, encoders, _size(self.subject), self.subject.device)
        notes = [f"The {name}' tower does not fit into the memory of {tower.device}." for name in tower.warm_up()]
        notes += ways.uncounted(self.subject)
        self.step.expect(self._groups + 3 + (AUTHORS_TOWER in tower.ways))
        videos = tower.run(self.clock, (1 - TOWER_SHARE) * self.clock.seconds, self.step)
        if AUTHORS_TOWER in tower.ways:
            videos = ways.observed(self.subject, self.plan, tower, videos)
        language = LanguageTimes(self.subject.model, self.subject.family, inputs, videos, self.plan.new_tokens)
        routes = ways.routes(language, self.plan, AUTHORS_TOWER in tower.ways)
        samples = {name: Samples() for name in routes}
        self._warm_up(language, routes, samples)
        for turn in range(self.plan.runs):
            if turn > 0 and self.clock.fits(tower.seconds):
                self.step.expect(self._groups)
                tower.run(self.clock, 0.0, self.step)
            for name in rotated(list(routes), turn):
                if turn == 0 or self.clock.fits(samples[name].seconds):
                    self.step.expect(1 if turn else 0)
                    language.run(routes[name], samples[name])
                    self.step()
        visual = videos[0].frames * videos[0].cells
        return Measured(
            frames=self.case.frames,
            batch=self.case.batch,
            tokens=visual,
            text=inputs["input_ids"].shape[1] - visual,
            read_ms=read_ms,
            passes=tower.passes,
            tower_memory=tower.memory,
            tower_work=ways.tower_work(self.subject, self.case, self._groups, self.plan.reducer.needs),
            papers_prefill={name: ways.papers_prefill(self.subject, each) for name, each in samples.items()},
            ways=[self._way(routes[name], each) for name, each in samples.items()],
            notes=notes,
        )

    @property
    def _groups(self) -> int:
        return len(groups(self.case.frames, _size(self.subject)))

    def _warm_up(self, language: LanguageTimes, routes: dict[str, Route], samples: dict[str, Samples]) -> None:
        """On a GPU, kernels are chosen for each size; on a CPU, only the first call is slow, for any size."""
        for route in routes.values():
            if self.subject.device.type == "cuda" or route.name == FOLDED:
                warm = Samples()
                language.run(route, warm)
                samples[route.name].memory.update(warm.memory)

    def _way(self, route: Route, samples: Samples) -> Way:
        return Way(
            name=route.name,
            tower=route.tower,
            tokens=samples.tokens,
            cache_positions=samples.positions,
            cache_bytes=samples.bytes,
            milliseconds=dict(samples.milliseconds),
            memory=samples.memory,
            work=ways.language_work(self.subject, self.case, samples),
        )


class _Step:
    """Counts steps for a watcher."""

    def __init__(self, watch: Watcher | None) -> None:
        self._watch, self._done, self._total = watch, 0, 0

    def expect(self, more: int) -> None:
        """Add ``more`` steps to the total."""
        self._total += more

    def __call__(self) -> None:
        self._done += 1
        if self._watch is not None:
            self._watch(self._done, max(self._done, self._total))


def _size(subject: Subject) -> int | None:
    """Frames of each video per call of the tower; None on a GPU: all at once, as in normal use."""
    return None if subject.device.type == "cuda" else GROUP


def _provenance(subject: Subject) -> dict[str, str]:
    attention = str(subject.model.config.get_text_config()._attn_implementation)
    own = {"attention": attention, "weights": subject.weights, "seed": str(SEED) if subject.random else "-"}
    return provenance(subject.model) | own


def _plain(value: object) -> object:
    """A field's value for JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

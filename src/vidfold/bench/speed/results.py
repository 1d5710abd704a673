"""Results of a run: all samples and values computed from them; to and from JSON."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field
from typing import Any

from vidfold.bench.speed.flops import Work
from vidfold.bench.speed.samples import Spread

PLAIN, TAPPED, AUTHORS_TOWER = "plain", "tapped", "authors"
"""How the vision tower runs: untouched, observed as the method needs, or as the method's authors run it."""
UNFOLDED, FOLDED, ORACLE, AUTHORS = "unfolded", "folded", "oracle", "authors"
"""Ways to a first token."""
FOLD, SPLICE, PREFILL, STEP = "fold", "splice", "prefill", "step"
"""Stages after the tower; a step generates one further token."""
FOLD_ASIDE = "fold_aside"
"""Another form of the fold, which is not part of the way."""
LANGUAGE_STAGES = (FOLD, SPLICE, PREFILL)
"""The stages before the first token."""


@dataclass(frozen=True)
class Group:
    """Frames that ran through the vision tower in several ways in direct succession.

    Attributes:
        frames: number of frames, of all videos together.
        milliseconds: how the tower ran -> time.
    """

    frames: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Way:
    """One way from pixels to a first token.

    Attributes:
        name: name of the way.
        tower: how the vision tower runs.
        tokens: visual tokens that the language model reads, per video.
        cache_positions: length of the key-value cache after prefill.
        cache_bytes: memory of the cache.
        milliseconds: stage -> samples, for the stages that this way has.
        memory: stage -> peak bytes above the level before.
        work: stage -> its work.
    """

    name: str
    tower: str
    tokens: tuple[int, ...]
    cache_positions: int
    cache_bytes: int
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)

    def spread(self, stage: str) -> Spread | None:
        """Spread of a stage's samples; None if this way does not have the stage."""
        samples = self.milliseconds.get(stage)
        return Spread.of(samples) if samples else None


@dataclass(frozen=True)
class Measured:
    """Results of one case.

    Attributes:
        frames: frames per video.
        batch: videos per call.
        tokens: visual tokens of a video before folding.
        text: other tokens of a prompt.
        read_ms: milliseconds of decoding and sampling the video file, once.
        passes: passes of the vision tower over all frames, group by group.
        tower_memory: how the tower runs -> peak bytes above the level before.
        tower_work: how the tower runs -> its work over all frames; for the tapped way, the work it adds.
        papers_prefill: way -> prefill operations as papers count them.
        ways: the measured ways, the unfolded one first.
        notes: why other ways were not measured.
    """

    frames: int
    batch: int
    tokens: int
    text: int
    read_ms: float
    passes: list[list[Group]]
    tower_memory: dict[str, int]
    tower_work: dict[str, Work]
    papers_prefill: dict[str, float]
    ways: list[Way]
    notes: list[str] = field(default_factory=list)

    def way(self, name: str) -> Way:
        """The way with this name."""
        return next(way for way in self.ways if way.name == name)

    def pictures(self, kind: str) -> int:
        """Most frames that ran through the tower in this way in one pass."""
        return max(sum(group.frames for group in run if kind in group.milliseconds) for run in self.passes)

    def is_whole(self, kind: str) -> bool:
        """Whether all frames ran through the tower in this way in at least one pass."""
        return self.pictures(kind) == self.frames * self.batch

    def tower(self) -> Spread:
        """Milliseconds of the untouched tower over all frames, over passes."""
        return Spread.of([sum(group.milliseconds[PLAIN] for group in run) for run in self.passes])

    def differences(self, kind: str) -> list[float]:
        """Milliseconds per frame that another way of running the tower adds, paired within each group."""
        pairs = [group for run in self.passes for group in run if kind in group.milliseconds]
        return [(group.milliseconds[kind] - group.milliseconds[PLAIN]) / group.frames for group in pairs]

    def added(self, kind: str) -> Spread | None:
        """The same for all frames: median, smallest and largest over groups.

        Unlike a sum, the median is robust when other programs slow down a single group. None unless all frames ran in
        that way in at least one pass.
        """
        if not self.is_whole(kind):
            return None
        return Spread.of([self.frames * self.batch * difference for difference in self.differences(kind)])

    def tower_a_frame(self) -> Spread:
        """Milliseconds per frame of the untouched tower, over all groups."""
        return Spread.of([group.milliseconds[PLAIN] / group.frames for run in self.passes for group in run])

    def tower_ratio(self, kind: str) -> Spread:
        """Time of the tower in this way divided by that of the untouched one, over groups."""
        pairs = [group.milliseconds for run in self.passes for group in run if kind in group.milliseconds]
        return Spread.of([pair[kind] / pair[PLAIN] for pair in pairs])

    def first_token(self, way: Way) -> float | None:
        """Milliseconds to the first token: the sum of the medians of its stages; None if a stage is incomplete.

        A negative cost of observing attention, caused by noise, counts as 0.
        """
        total = self.tower().median
        if way.tower != PLAIN:
            added = self.added(way.tower)
            if added is None:
                return None
            total += max(0.0, added.median)
        return total + sum(
            statistics.median(way.milliseconds[stage]) for stage in LANGUAGE_STAGES if stage in way.milliseconds
        )


@dataclass(frozen=True)
class Results:
    """A run.

    Attributes:
        model: its name, and whether its weights are random.
        method: name and fields of the method.
        title: short description of the method.
        video: description of the file that was read.
        provenance: versions, machine, seed.
        memory_source: where peak memory was read from.
        group: frames of each video per call of the tower; None: all.
        cases: results in the order of the plan.
    """

    model: dict[str, Any]
    method: dict[str, Any]
    title: str
    video: str
    provenance: dict[str, str]
    memory_source: str
    group: int | None
    cases: list[Measured]

    def as_dict(self) -> dict[str, Any]:
        """As a dictionary for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Results:
        """From the result of `as_dict`, also after JSON."""
        return cls(**{**data, "cases": [_measured(case) for case in data["cases"]]})


def _measured(data: dict[str, Any]) -> Measured:
    passes = [[Group(**group) for group in run] for run in data["passes"]]
    return Measured(
        **{
            **data,
            "passes": passes,
            "tower_work": _works(data["tower_work"]),
            "ways": [
                Way(**{**way, "tokens": tuple(way["tokens"]), "work": _works(way["work"])}) for way in data["ways"]
            ],
        }
    )


def _works(data: dict[str, Any]) -> dict[str, Work]:
    return {name: Work(**work) for name, work in data.items()}

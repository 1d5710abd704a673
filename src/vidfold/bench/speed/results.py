"""What a run measured: every sample, and what follows from them; as JSON and back."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field
from typing import Any

from vidfold.bench.speed.flops import Work
from vidfold.bench.speed.samples import Spread

PLAIN, TAPPED, AUTHORS_TOWER = "plain", "tapped", "authors"
"""How the vision tower runs: untouched, observed as the method needs it, as the method's authors run it."""
UNFOLDED, FOLDED, ORACLE, AUTHORS = "unfolded", "folded", "oracle", "authors"
"""Ways to a first token."""
FOLD, SPLICE, PREFILL, STEP = "fold", "splice", "prefill", "step"
"""Stages after the tower; a step makes one further token."""
FOLD_ASIDE = "fold_aside"
"""Another form of the fold, which is no part of its way."""
LANGUAGE_STAGES = (FOLD, SPLICE, PREFILL)
"""Those before the first token."""


@dataclass(frozen=True)
class Group:
    """Some frames that went through the vision tower in several ways, one right after the other.

    Attributes:
        frames: how many, of all videos together.
        milliseconds: how the tower ran -> time.
    """

    frames: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Way:
    """One way from pixels to a first token.

    Attributes:
        name: which.
        tower: how the vision tower runs.
        tokens: visual tokens that the language model reads, of each video.
        cache_positions: length of the key-value cache after prefill.
        cache_bytes: its memory.
        milliseconds: stage -> samples; a stage that this way does not have is missing.
        memory: stage -> bytes at the peak above the level before.
        work: stage -> what it must do.
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
        """Of a stage's samples; None where this way does not have it."""
        samples = self.milliseconds.get(stage)
        return Spread.of(samples) if samples else None


@dataclass(frozen=True)
class Measured:
    """One case: videos of so many frames, so many a call.

    Attributes:
        frames: a video.
        batch: videos a call.
        tokens: visual tokens of a video before folding.
        text: tokens of a prompt besides.
        read_ms: milliseconds of decoding and sampling the video file, once.
        passes: passes of the vision tower over all frames, group by group.
        tower_memory: how the tower runs -> bytes at the peak above the level before.
        tower_work: how it runs -> what it must do over all frames; the tapped way: beyond the plain one.
        papers_prefill: way -> prefill operations as papers count them.
        ways: all that were measured, the unfolded one first.
        notes: why others were not.
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
        """The way of that name."""
        return next(way for way in self.ways if way.name == name)

    def pictures(self, kind: str) -> int:
        """Frames that ran through the tower in this way in the pass that measured most of them."""
        return max(sum(group.frames for group in run if kind in group.milliseconds) for run in self.passes)

    def is_whole(self, kind: str) -> bool:
        """Whether all frames ran through the tower in this way in some pass."""
        return self.pictures(kind) == self.frames * self.batch

    def tower(self) -> Spread:
        """Milliseconds of the untouched tower over all frames, a pass; low and high are of all passes."""
        return Spread.of([sum(group.milliseconds[PLAIN] for group in run) for run in self.passes])

    def differences(self, kind: str) -> list[float]:
        """What another way of running the tower adds to the untouched one for a frame, paired, group by group."""
        pairs = [group for run in self.passes for group in run if kind in group.milliseconds]
        return [(group.milliseconds[kind] - group.milliseconds[PLAIN]) / group.frames for group in pairs]

    def added(self, kind: str) -> Spread | None:
        """The same over all frames, by the median of the groups, and by the least and the largest of them.

        Less is wrong with it than with a sum, when other work slows a single group down. None unless all frames ran in
        that way in some pass.
        """
        if not self.is_whole(kind):
            return None
        return Spread.of([self.frames * self.batch * difference for difference in self.differences(kind)])

    def tower_a_frame(self) -> Spread:
        """Milliseconds of the untouched tower for a frame, over all groups."""
        return Spread.of([group.milliseconds[PLAIN] / group.frames for run in self.passes for group in run])

    def tower_ratio(self, kind: str) -> Spread:
        """Time of the tower in this way over that of the untouched one, of each group that ran in it."""
        pairs = [group.milliseconds for run in self.passes for group in run if kind in group.milliseconds]
        return Spread.of([pair[kind] / pair[PLAIN] for pair in pairs])

    def first_token(self, way: Way) -> float | None:
        """Milliseconds to the first token: the sum of the medians of its stages; None where a stage is not whole.

        A look into the tower that came out negative, lost in noise, counts as nothing.
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
        title: the method in few words.
        video: the file that was read, in words.
        provenance: versions, machine, seed.
        memory_source: what peaks of memory were read from.
        group: frames of each video that the tower was given at a time; None: all.
        cases: in the order of the plan.
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
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Results:
        """From what `as_dict` made, also through JSON."""
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

"""All samples of a run, and what is computed from them."""

import dataclasses
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

UNFOLDED, FOLDED, ORACLE, AUTHORS = "unfolded", "folded", "oracle", "authors"
"""Ways to a first token."""
TOWER, FOLD, SPLICE, PREFILL, STEP = "tower", "fold", "splice", "prefill", "step"
"""Stages; a sample of the tower is that of one frame, and a step generates one further token."""
FIRST_TOKEN = (FOLD, SPLICE, PREFILL)
"""The stages after the tower and before the first token."""


@dataclass(frozen=True)
class Spread:
    """A median, the bounds of its 95 % interval by the sign test, and the number of samples.

    With fewer than nine samples the interval is from the smallest to the largest; with fewer than six it is less sure
    than 95 %. A sum adds the bounds, so it is at least as wide as it should be; its count is the smallest.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """The spread of at least one sample."""
        ordered = sorted(samples)
        # k samples on each side can be left out while chance puts the median beyond them in at most 5 % of cases.
        beyond = accumulate(2 * math.comb(len(ordered), k) / 2 ** len(ordered) for k in range(len(ordered) // 2))
        cut = max(0, sum(chance <= 0.05 for chance in beyond) - 1)
        return cls(statistics.median(ordered), ordered[cut], ordered[-1 - cut], len(ordered))

    def __add__(self, other: "Spread") -> "Spread":
        count = min(self.count, other.count)
        return Spread(self.median + other.median, self.low + other.low, self.high + other.high, count)

    def times(self, factor: float) -> "Spread":
        """All values times a positive factor."""
        return Spread(factor * self.median, factor * self.low, factor * self.high, self.count)

    def positive(self) -> "Spread":
        """Values below 0 are 0."""
        return Spread(max(0.0, self.median), max(0.0, self.low), max(0.0, self.high), self.count)

    def over(self, other: "Spread") -> "Spread":
        """The ratio of two times."""
        count = min(self.count, other.count)
        return Spread(self.median / other.median, self.low / other.high, self.high / other.low, count)

    @property
    def is_told(self) -> bool:
        """Whether the interval does not hold zero."""
        return self.low > 0 or self.high < 0


@dataclass
class Way:
    """One way from pixels to a first token; its stages are filled in as they run.

    Attributes:
        name: "unfolded", "folded", "oracle" or "authors".
        tokens: visual tokens that the language model reads, per video.
        cache_positions: length of the key-value cache after prefill.
        cache_bytes: memory of the cache.
        milliseconds: stage -> samples, for the stages that this way has; without a tower it shares the unfolded one's.
        memory: stage -> peak bytes above the level before.
        operations: stage -> operations of its matrix products.
    """

    name: str
    tokens: tuple[int, ...] = ()
    cache_positions: int = 0
    cache_bytes: int = 0
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    operations: dict[str, float] = field(default_factory=dict)

    def spread(self, stage: str) -> Spread | None:
        """Spread of a stage's samples; None if this way does not have the stage."""
        samples = self.milliseconds.get(stage)
        return Spread.of(samples) if samples else None

    def turns(self) -> list[float]:
        """Milliseconds from the tower's tokens to the first token, one number for each turn of all ways."""
        stages = [self.milliseconds[stage] for stage in FIRST_TOKEN if stage in self.milliseconds]
        return [sum(turn) for turn in zip(*stages, strict=False)]


@dataclass(frozen=True)
class Case:
    """Results of one number of frames and one batch.

    Attributes:
        frames: frames per video.
        batch: videos per call.
        tokens: visual tokens of a video before folding.
        text: other tokens of a prompt.
        read_ms: milliseconds of decoding and sampling the video file, once.
        ways: the measured ways, the unfolded one first.
        notes: why other ways were not measured.
    """

    frames: int
    batch: int
    tokens: int
    text: int
    read_ms: float
    ways: list[Way]
    notes: list[str]

    def way(self, name: str) -> Way:
        """The way with this name."""
        return next(way for way in self.ways if way.name == name)

    def a_frame(self) -> Spread:
        """Milliseconds per frame of the untouched tower."""
        return Spread.of(self.ways[0].milliseconds[TOWER])

    def tower(self) -> Spread:
        """Milliseconds of the untouched tower: the median frame times the number of frames.

        Unlike a sum of samples, this does not change when another program stalls a single sample.
        """
        return self.a_frame().times(self.frames * self.batch)

    def added(self, way: Way) -> Spread | None:
        """Milliseconds that a way's own tower adds over all frames, in pairs of samples of the same frames."""
        if way is self.ways[0] or TOWER not in way.milliseconds:
            return None
        pairs = zip(way.milliseconds[TOWER], self.ways[0].milliseconds[TOWER], strict=False)
        return Spread.of([own - plain for own, plain in pairs]).times(self.frames * self.batch)

    def first_token(self, way: Way) -> Spread:
        """Milliseconds to the first token: the sum of its stages. Observing attention costs at least 0."""
        added = self.added(way)
        stages = (added and added.positive(), *map(way.spread, FIRST_TOKEN))
        return sum(filter(None, stages), self.tower())

    def above(self, way: Way, other: Way) -> Spread:
        """Milliseconds to the first token of one way above another without a tower, paired by sample and turn."""
        later = Spread.of([mine - its for mine, its in zip(way.turns(), other.turns(), strict=False)])
        added = self.added(way)
        return later + added if added else later


@dataclass(frozen=True)
class Results:
    """A run.

    Attributes:
        model: its name, its number of parameters, and whether its weights are random.
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
    cases: list[Case]

    def as_json(self) -> str:
        """All samples as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=repr)

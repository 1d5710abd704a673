"""Right answers with their uncertainty: estimates over clips, paired differences, and tests.

Clips are independent, questions about one clip are not: every error and every test counts clips.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.questions import KINDS

LEVEL = 0.05
"""Maximum probability of any false finding in a family of comparisons."""
MARGIN = 0.02
"""Differences below this are of no interest: two settings are equivalent if theirs is significantly below it."""

_DRAWS, _EXACT, _CHUNK = 99_999, 16, 4096
_FEW = 10  # clips that differ; with fewer the normal distribution does not hold
_NORMAL = 1.959964

Floats = NDArray[np.float64]
Arrays = Mapping[str, Floats]
"""Measured values by name, each (clips,); NaN where a clip was not measured."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number estimated from independent clips.

    Attributes:
        parts: (clips,) what each clip adds to the number, so that the number is their sum.
        influence: (clips,) influence of each clip on it: its deviation from the mean clip; NaN for fewer than two
            clips.
        weight: (clips,) the most that each clip could add; the sum is 1.
    """

    parts: Floats
    influence: Floats
    weight: Floats

    @property
    def value(self) -> float:
        """The number; NaN if there was no question."""
        return float(self.parts.sum())

    @property
    def error(self) -> float:
        """Standard error over clips: square root of the sum of squared influences (infinitesimal jackknife).

        It is NaN for fewer than two clips. It is 0 if all clips agree, which does not prove that others would.
        """
        return math.sqrt(float(np.square(self.influence).sum()))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the normal distribution; NaN if the error is NaN or 0, which tells no width."""
        if not self.error > 0:
            return math.nan, math.nan
        return self.value - _NORMAL * self.error, self.value + _NORMAL * self.error

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The paired difference to an estimate from the same clips."""
        _check_same([self, other])
        return Estimate(self.parts - other.parts, self.influence - other.influence, self.weight)


def answered(found: Arrays) -> bool:
    """Whether right answers were counted: the true ones are known."""
    return f"right_{KINDS[0]}" in found


def accuracy(found: Arrays, kind: str | None = None) -> Estimate:
    """Accuracy of one kind of question; None is the mean over the kinds that were asked, with the same weight.

    It reads ``right_KIND`` and ``asked_KIND``: questions of every clip, and right answers to them.
    """
    kinds = [name for name in KINDS if kind in (None, name) and found[f"asked_{name}"].any()]
    if not kinds:
        return Estimate(*np.full((3, len(found[f"asked_{KINDS[0]}"])), np.nan))
    right, asked = (np.stack([found[f"{name}_{each}"] for each in kinds], axis=1) for name in ("right", "asked"))
    hits, total = right.sum(0), asked.sum(0)
    # Exact in whole numbers, so the error is 0 where all clips agree.
    influence = ((right * total - hits * asked) / total**2).mean(1)
    if np.count_nonzero(asked.any(1)) < 2:
        influence[:] = np.nan
    return Estimate((right / total).mean(1), influence, (asked / total).mean(1))


def same_clips(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from the same clips in the same order, such as of two models on one world."""
    _check_same(estimates)
    return Estimate(*np.mean([(each.parts, each.influence, each.weight) for each in estimates], axis=0))


def other_clips(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from different clips, such as of two worlds."""
    arrays = [(each.parts, each.influence, each.weight) for each in estimates]
    return Estimate(*np.concatenate(arrays, axis=1) / len(estimates))


def p_values(gaps: Sequence[Estimate]) -> list[float]:
    """Two-sided p-values of the hypothesis that the two settings of a paired difference are alike.

    Randomisation test (Fisher 1935): if they are alike, exchanging them in any clip is as likely as not. The p-value is
    the share of all exchanges with a difference at least as large: of all of them where at most 16 clips differ, else
    of 99,999 random ones with a fixed seed and the one that was found (Phipson & Smyth 2010). It needs no normal
    distribution and no spread. NaN differences have NaN p-values.
    """
    found = [math.nan] * len(gaps)
    many: dict[int, list[int]] = {}
    for place, gap in enumerate(gaps):
        moved = gap.parts[gap.parts != 0]
        if math.isnan(gap.value):
            continue
        if len(moved) <= _EXACT:
            found[place] = float(_as_large(_all_signs(len(moved)), moved[:, None])[0] / 2 ** len(moved))
        else:
            many.setdefault(len(gap.parts), []).append(place)
    for clips, places in many.items():
        parts = np.stack([gaps[place].parts for place in places], axis=1)
        count = np.ones(len(places))
        for start in range(0, _DRAWS, _CHUNK):
            count += _as_large(_random_signs(clips)[start : start + _CHUNK].astype(np.float64), parts)
        for place, each in zip(places, count / (_DRAWS + 1), strict=True):
            found[place] = float(each)
    return found


def equivalence(gap: Estimate, margin: float = MARGIN) -> float:
    """p-value of the hypothesis that a paired difference is at least ``margin`` in size; NaN for fewer than two clips.

    Two one-sided normal tests (Schuirmann 1987). Where fewer than ten clips differ, the normal distribution does not
    hold; but a difference of ``margin`` would need at least that share of all clips to differ, so this share is tested
    (binomial, with as many clips as the largest weight allows).
    """
    if math.isnan(gap.error):
        return math.nan
    differ, clips = int(np.count_nonzero(gap.parts)), int(1 / gap.weight.max() + 1e-9)
    if differ < _FEW:
        return sum(math.comb(clips, k) * margin**k * (1 - margin) ** (clips - k) for k in range(differ + 1))
    distance = (margin - abs(gap.value)) / gap.error if gap.error else math.copysign(math.inf, margin - abs(gap.value))
    return math.erfc(distance / math.sqrt(2)) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests (Holm 1979, step-down), in the order given.

    Rejecting all that are at most α limits the probability of any false rejection to α, even for dependent tests. NaN
    is no test: it stays NaN and does not count.
    """
    tested = [place for place, value in enumerate(p_values) if not math.isnan(value)]
    adjusted = [math.nan] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(tested, key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(tested) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def marks(gaps: Sequence[Estimate]) -> list[str]:
    """A mark for each difference of a family, with Holm's correction over the family.

    "▲" or "▼": significantly above or below 0; "≈": equivalent; both are possible for a small difference.
    """
    apart, alike = holm(p_values(gaps)), holm([equivalence(gap) for gap in gaps])
    return [
        ("" if not different <= LEVEL else "▲" if gap.value > 0 else "▼") + ("≈" if same <= LEVEL else "")
        for gap, different, same in zip(gaps, apart, alike, strict=True)
    ]


def _as_large(signs: Floats, parts: Floats) -> Floats:
    """How many rows of signs (R, clips) give a sum of parts (clips, M) at least as large as found, (M,)."""
    found = np.abs(parts.sum(0)) - 1e-9 * np.abs(parts).sum(0)
    as_large: Floats = np.count_nonzero(np.abs(signs @ parts) >= found, axis=0).astype(np.float64)
    return as_large


@cache
def _all_signs(count: int) -> Floats:
    """All (2**count, count) rows of signs."""
    bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    return (2 * bits - 1).astype(np.float64)


@lru_cache(maxsize=2)
def _random_signs(clips: int) -> NDArray[np.int8]:
    """Random signs (draws, clips), always the same."""
    return 2 * np.random.default_rng(0).integers(0, 2, (_DRAWS, clips), np.int8) - 1


def _check_same(estimates: Sequence[Estimate]) -> None:
    if len({len(each.parts) for each in estimates}) > 1:
        raise ValueError(f"pairs need the same clips, got {' and '.join(str(len(each.parts)) for each in estimates)}")

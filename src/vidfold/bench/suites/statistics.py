"""Estimates with the influence of every clip, so that differences and means have standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number estimated from independent clips.

    Attributes:
        value: the number.
        influence: (clips,), influence of each clip on it; sums to zero up to rounding.
    """

    value: float
    influence: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Standard error over clips: square root of the sum of squared influences (infinitesimal jackknife)."""
        return math.sqrt(float(np.square(self.influence).sum()))

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the hypothesis that the number is zero (normal distribution); 1 if the error is 0."""
        return math.erfc(abs(self.value) / self.error / math.sqrt(2)) if self.error else 1.0

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference to an estimate from the same clips."""
        return Estimate(self.value - other.value, self.influence - _like(self, other))


def mean_accuracy(score: Score) -> Estimate:
    """Mean accuracy over the kinds that were asked, all with the same weight."""
    return Estimate(float(np.nanmean(score.accuracy)), np.nanmean(score.influence, axis=1))


def kind_accuracy(score: Score, kind: str) -> Estimate:
    """Accuracy of one kind of question; NaN if none was asked."""
    column = KINDS.index(kind)
    return Estimate(float(score.accuracy[column]), score.influence[:, column])


def same_clips(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from the same clips in the same order, such as of two models on one world."""
    first = estimates[0]
    moved = np.mean([_like(first, each) for each in estimates], axis=0)
    return Estimate(float(np.mean([each.value for each in estimates])), moved)


def other_clips(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from different clips, such as of two worlds."""
    moved = np.concatenate([each.influence for each in estimates]) / len(estimates)
    return Estimate(float(np.mean([each.value for each in estimates])), moved)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests (Holm 1979, step-down), in the order given.

    Rejecting all that are at most α limits the probability of any false rejection to α, even for dependent tests.
    """
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def _like(one: Estimate, other: Estimate) -> NDArray[np.float64]:
    if one.influence.shape != other.influence.shape:
        raise ValueError(f"pairs need the same clips, got {len(one.influence)} and {len(other.influence)} of them")
    return other.influence

"""Accuracy of a folded model on questions about held-out clips, with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS
from vidfold.tiny.scenes import split_of

DRAWS = 10_000
MEAN = "mean"
"""Name of the mean over kinds of question, all with the same weight."""


@dataclass(frozen=True)
class Estimate:
    """A share of right answers; clips, not questions, are independent.

    Attributes:
        value: the share.
        error: its standard error over clips.
    """

    value: float
    error: float


@dataclass(frozen=True)
class Difference:
    """A share of right answers minus that of another setting on the same clips.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval: percentiles of a paired bootstrap over clips.
        high: upper end.
    """

    value: float
    low: float
    high: float


def check_held_out(seeds: Iterable[int]) -> None:
    """Raise a ValueError for a seed whose clip the model may have seen in training."""
    for seed in seeds:
        if (split := split_of(seed)) == "train":
            raise ValueError(f"seed {seed} is in the {split} split; use clips that the model was not trained on")


def counts(kinds: Iterable[str], chosen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Number of questions of each of ``KINDS``, (kinds,): all, or only those ``chosen``."""
    index = np.array([KINDS.index(kind) for kind in kinds], np.int64)
    return np.bincount(index if chosen is None else index[chosen], minlength=len(KINDS))


def accuracy(score: Score) -> dict[str, Estimate]:
    """Accuracy of every kind that was asked, and their mean, with standard errors clustered by clip."""
    estimates = map(Estimate, score.accuracy.tolist(), score.standard_error().tolist())
    kinds = dict(zip(KINDS, estimates, strict=True))
    return {MEAN: Estimate(*score.mean())} | {kind: kinds[kind] for kind in _asked(score)}


def paired_differences(score: Score, full: Score, *, seed: int = 0, draws: int = DRAWS) -> dict[str, Difference]:
    """Differences in accuracy to ``full`` on the same clips, for the mean and every kind that was asked.

    Paired bootstrap (Efron & Tibshirani 1993): clips are drawn with replacement, the same ones for both settings. The
    interval is from the 2.5th to the 97.5th percentile. A draw without questions of a kind is ignored for that kind.

    Args:
        score: the setting.
        full: the setting to compare with, on the same clips in the same order.
        seed: seed of the draws; the same seed gives the same intervals.
        draws: number of draws.

    Raises:
        ValueError: the two were not asked the same questions.
    """
    if not np.array_equal(score.asked, full.asked):
        raise ValueError(f"paired scores need the same clips, got {score.asked.shape} and {full.asked.shape} questions")
    clips = len(score.asked)
    times = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=draws)
    kinds = _asked(score)
    places = [KINDS.index(kind) for kind in kinds]
    asked = times @ score.asked[:, places]
    drawn = _with_mean(times @ (score.right - full.right)[:, places] / np.where(asked > 0, asked, np.nan))
    low, high = np.nanpercentile(drawn, (2.5, 97.5), axis=0)
    value = _with_mean((score.accuracy - full.accuracy)[places])
    rows = zip((MEAN, *kinds), value.tolist(), low.tolist(), high.tolist(), strict=True)
    return {kind: Difference(*numbers) for kind, *numbers in rows}


def _asked(score: Score) -> list[str]:
    """The kinds with at least one question."""
    return [kind for kind, count in zip(KINDS, score.asked.sum(0).tolist(), strict=True) if count]


def _with_mean(kinds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.nanmean(kinds, -1, keepdims=True), kinds], axis=-1)

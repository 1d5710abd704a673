"""A method at a retention, and the right answers with it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vidfold import reducers
from vidfold.reducers import Reducer
from vidfold.tokens import VideoTokens

_REFERENCE_SHARE = 126 / 729 / 0.10  # anchors per patch at retention 1, scaled from the authors' setting


@dataclass(frozen=True)
class Setting:
    """One method of the registry at one retention."""

    method: str
    retention: float

    def __post_init__(self) -> None:
        if self.method not in reducers.METHODS:
            raise ValueError(f"unknown method {self.method!r}; there are: {', '.join(sorted(reducers.METHODS))}")
        if not 0 < self.retention <= 1:
            raise ValueError(f"retention must be in (0, 1]; got {self.retention}")

    def reducer(self, tokens: VideoTokens, seed: int) -> Reducer:
        """The method for one video.

        Random methods use the clip's ``seed``.  The authors' AOT has no retention: its number of anchors is scaled
        from their setting, and the number of tokens it keeps is measured.
        """
        names = {field.name for field in fields(reducers.METHODS[self.method])}
        settings: dict[str, object] = {}
        if "retention" in names:
            settings["retention"] = self.retention
        elif "anchors" in names:
            patches = tokens.features.shape[1]
            settings["anchors"] = min(patches, round(_REFERENCE_SHARE * self.retention * patches))
        if "seed" in names:
            settings["seed"] = seed
        return reducers.get(self.method, **settings)


FULL = Setting("identity", 1.0)
"""The unfolded video."""


@dataclass(frozen=True)
class Score:
    """Right answers with one setting, by clip and kind.

    ``right`` and ``asked`` are (clips, kinds) counts, kinds in the order of ``KINDS``; ``kept`` (clips,) is the share
    of tokens the language model read.  Not every clip has every kind.  A kind that no clip has gives NaN, and means
    ignore it.
    """

    right: NDArray[np.int64]
    asked: NDArray[np.int64]
    kept: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of right answers, (kinds,)."""
        share: NDArray[np.float64] = self.right.sum(0) / self._total
        return share

    @property
    def influence(self) -> NDArray[np.float64]:
        """Influence of each clip on each accuracy, (clips, kinds); questions about one clip are not independent."""
        moved: NDArray[np.float64] = (self.right - self.accuracy * self.asked) / self._total
        return moved

    @property
    def _total(self) -> NDArray[np.float64]:
        """Number of questions of each kind, NaN for none, (kinds,)."""
        total = self.asked.sum(0)
        return np.where(total > 0, total, np.nan)

    def standard_error(self) -> NDArray[np.float64]:
        """Standard error of ``accuracy`` over clips, (kinds,)."""
        return _error(self.influence)

    def mean(self) -> tuple[float, float]:
        """Mean accuracy over the kinds that were asked, all with the same weight, and its standard error."""
        return float(np.nanmean(self.accuracy)), float(_error(np.nanmean(self.influence, 1)))

    def gain(self, other: Score) -> tuple[float, float]:
        """Mean accuracy minus that of another setting on the same clips, and its paired standard error."""
        difference = np.nanmean(self.influence - other.influence, 1)
        return float(np.nanmean(self.accuracy - other.accuracy)), float(_error(difference))


def _error(influence: NDArray[np.float64]) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.sqrt(np.square(influence).sum(0))
    return error

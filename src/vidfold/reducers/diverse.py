"""Keep tokens that lie far apart: coverage alone, without merging."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from vidfold.ops.cover import farthest_units
from vidfold.reducers.base import BudgetedReducer, select
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class Diverse(BudgetedReducer):
    """Keeps K tokens of the whole video by farthest-point selection on 1 - cosine (Gonzalez 1985).

    The first is the token least similar to the mean of all unit tokens; then always the one least similar to all
    chosen. Nothing is merged and no attention is read. Serial in the K choices; each costs one pass over the F*N
    tokens, so time grows with the square of the video's length.
    """

    name = "diverse"
    published = "none: a baseline (Gonzalez 1985)"
    idea = "keeps tokens far from one another, beginning with the least usual one"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total, full = self.count(tokens.frames, tokens.cells), tokens.frames * tokens.cells
        if total == full:
            return select(tokens, torch.arange(full, device=tokens.features.device), weights=weights)
        units = functional.normalize(tokens.pooled().float(), dim=-1).flatten(0, 1)
        start = (units @ units.mean(0)).argmin()
        order = farthest_units(units[None], start[None], total)
        return select(tokens, order[0].sort().values, weights=weights)

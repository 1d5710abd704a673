"""Evenly spaced cells of every n-th frame: the blind baseline in space and time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vidfold.budgets import check_count
from vidfold.reducers.base import BudgetedReducer, select
from vidfold.reducers.grid import spread_over
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class SpacetimeGrid(BudgetedReducer):
    """Keeps evenly spaced cells of every n-th frame: fewer frames, each on a denser grid.

    Where the chosen frames hold fewer than K tokens, more frames are taken: ceil(K / N) of them, evenly spaced.

    Attributes:
        retention: share of the tokens to keep, in (0, 1]; met exactly.
        every: n. None: round(retention ** (-1/3)), which thins time as much as height and width.
    """

    every: int | None = None

    name = "spacetime-grid"
    published = "none: a baseline"
    idea = "keeps evenly spaced cells of every n-th frame"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every is not None:
            check_count("every", self.every)

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total = self.count(tokens.frames, tokens.cells)
        every = self.every or max(1, round(self.retention ** (-1 / 3)))
        kept = max(-(-tokens.frames // every), -(-total // tokens.cells))
        place = torch.arange(kept, device=tokens.features.device)
        frames = (2 * place + 1) * tokens.frames // (2 * kept)
        return select(tokens, spread_over(frames, total, tokens.language_grid), weights=weights)

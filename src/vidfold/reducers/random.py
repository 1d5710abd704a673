"""Keep tokens blindly: the baseline every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vidfold.budgets import check_count
from vidfold.reducers.base import BudgetedReducer, select
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class Random(BudgetedReducer):
    """Keeps K tokens drawn uniformly without replacement over the whole video.

    Attributes:
        seed: of its own generator, so that the same video keeps the same tokens and no global state is touched.
    """

    seed: int = 0

    name = "random"
    published = "none: the baseline"
    idea = "keeps tokens drawn at random"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("seed", self.seed, least=0)

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        full = tokens.frames * tokens.cells
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(full, generator=generator)[: self.count(tokens.frames, tokens.cells)]
        index = drawn.sort().values.to(tokens.features.device, non_blocking=True)
        return select(tokens, index, weights=weights)

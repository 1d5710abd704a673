"""EVS: keep what changed since the frame before."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from vidfold.reducers.base import PublishedReducer, select
from vidfold.reducers.baselines import spread_cells
from vidfold.segments.optimal import similarities
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class EVS(PublishedReducer):
    """Efficient Video Sampling (arXiv 2510.14624), as vLLM has it: drops what repeats the same cell a frame earlier.

    A token's score is 1 - cosine to the token of the same cell in the previous frame; the first frame always comes
    first. The K highest are kept unchanged. A budget below one frame keeps evenly spread cells of the first frame,
    for which there are no scores.

    Attributes:
        original: vLLM's own budget max(N, floor(F*N*(1 - q))) for its pruning rate q = 1 - retention: never below a
            whole frame.
    """

    name = "evs"
    published = "EVS, arXiv 2510.14624"
    idea = "keeps the tokens that differ most from the same cell a frame earlier, and the first frame"

    def original_count(self, frames: int, cells: int) -> int:
        """Never below a whole frame; in double precision and in this order, as vLLM counts its placeholders."""
        return max(cells, math.floor(frames * cells * (1 - (1 - self.retention))))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total = self.count(tokens.frames, tokens.cells)
        if total < tokens.cells:
            return select(tokens, spread_cells(total, tokens.language_grid, tokens.features.device), weights=weights)
        change = functional.pad(1 - similarities(tokens.pooled().float()), (0, 0, 1, 0), value=torch.inf)
        kept = change.flatten().argsort(descending=True, stable=True)[:total]
        return select(tokens, kept.sort().values, weights=weights)

"""Keep the tokens that are most unlike one another, without merging."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.ops.cover import farthest_units, most_isolated
from vidfold.reducers.base import BudgetedReducer, PublishedReducer, select
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
        total = self.count(tokens.frames, tokens.cells)
        return farthest_first(tokens, lambda units: (units @ units.mean(0)).argmin(), total, weights=weights)


@dataclass(frozen=True)
class DivPrune(PublishedReducer):
    """Keeps a diverse subset of the whole video (CVPR 2025, arXiv 2503.02175): max-min diversity by farthest-first.

    The first token is the one farthest from its nearest neighbour; then always the one farthest (1 - cosine) from
    all chosen. Serial in the K choices; each costs one pass over the F*N tokens. Time grows with the square
    of the video's length.

    Attributes:
        original: the authors' program: K = round(retention * F*N), halves to even, and a token may be chosen and
            emitted again where only copies of chosen tokens remain.
    """

    name = "divprune"
    published = "DivPrune, CVPR 2025, arXiv 2503.02175"
    idea = "keeps the tokens farthest from one another, over the whole video"

    def original_count(self, frames: int, cells: int) -> int:
        """The authors' rounding, halves to even."""
        return max(1, round(self.retention * (frames * cells)))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total = self.count(tokens.frames, tokens.cells)
        return farthest_first(tokens, most_isolated, total, repeats=self.original, weights=weights)


def farthest_first(
    tokens: VideoTokens, start: Callable[[Tensor], Tensor], total: int, *, weights: bool, repeats: bool = False
) -> Reduction:
    """Keep K tokens: the one that ``start`` gives of all unit tokens (S, D), then always the one farthest from those.

    With ``repeats`` a token may be kept again, as happens where only copies of kept ones are left.
    """
    full = tokens.frames * tokens.cells
    if total == full and not repeats:
        return select(tokens, torch.arange(full, device=tokens.features.device), weights=weights)
    units = functional.normalize(tokens.pooled().float(), dim=-1).flatten(0, 1)
    order = farthest_units(units[None], start(units)[None], total, repeats=repeats)
    return select(tokens, order[0].sort().values, weights=weights)

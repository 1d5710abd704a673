"""DivPrune: keep the tokens that are most unlike one another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from vidfold.ops.cover import farthest_units, most_isolated
from vidfold.reducers.base import PublishedReducer, select
from vidfold.tokens import Reduction, VideoTokens


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
        total, full = self.count(tokens.frames, tokens.cells), tokens.frames * tokens.cells
        if total == full and not self.original:
            return select(tokens, torch.arange(full, device=tokens.features.device), weights=weights)
        units = functional.normalize(tokens.pooled().float(), dim=-1).flatten(0, 1)
        order = farthest_units(units[None], most_isolated(units)[None], total, repeats=self.original)
        return select(tokens, order[0].sort().values, weights=weights)

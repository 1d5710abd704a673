"""Keep everything: the full-token baseline on the folded path."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vidfold.reducers.base import Reducer, select
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class Identity(Reducer):
    """Keeps every token where it was; the model must answer as if nothing had been folded."""

    name = "identity"
    published = "none: the baseline"
    idea = "keeps every token"

    def count(self, frames: int, cells: int) -> int:
        """All F*N tokens."""
        return frames * cells

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """All pooled tokens in their order."""
        index = torch.arange(tokens.frames * tokens.cells, device=tokens.features.device)
        return select(tokens, index, weights=weights)

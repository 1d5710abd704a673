"""What training asks of the model beside the answers; none of it is shipped."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidfold.tiny.language import VOCABULARY
from vidfold.tiny.packing import LABELS
from vidfold.tiny.scenes import SHAPES


class PatchReader(nn.Module):
    """Reads from the state of each patch what that patch shows."""

    emphasis: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.labels = nn.Linear(width, len(LABELS))
        # Shapes are the hardest to see.
        self.register_buffer("emphasis", torch.tensor([4.0 if label in SHAPES else 1.0 for label in LABELS]))

    def forward(self, states: Tensor, shown: Tensor) -> Tensor:
        """A scalar for states (N, P, E) of patches that show ``shown`` (N, P, labels) bool."""
        loss = _rare_labels(self.labels(self.norm(states)), shown)
        return (loss * self.emphasis).sum(-1).mean()


class FrameReader(nn.Module):
    """Reads from the state of each patch what its whole frame shows.

    A global objective, as contrastive pretraining has one: patches then attend to things rather than to background,
    so that received attention is salient.  Its price is that every token knows a little of its frame, which makes
    dropping tokens blindly cheaper than it would be.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.labels = nn.Linear(width, len(LABELS))

    def forward(self, states: Tensor, shown: Tensor) -> Tensor:
        """A scalar for states (N, P, E) of patches that show ``shown`` (N, P, labels) bool."""
        anywhere = shown.any(1, keepdim=True).expand(-1, states.shape[1], -1)
        return _rare_labels(self.labels(self.norm(states)), anywhere).sum(-1).mean()


class PlaceReader(nn.Module):
    """Reads from the state of each patch where in the frame the patch lies, as large towers let one do.

    Without it a tower of so few layers forgets where things are, and the language model cannot know once tokens are
    missing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.place = nn.Linear(width, 2)

    def forward(self, states: Tensor) -> Tensor:
        """A scalar, the mean squared error of (row, column) in -1 ... 1, for states (N, G * G, E)."""
        side = math.isqrt(states.shape[1])
        along = torch.linspace(-1, 1, side, device=states.device)
        truth = torch.cartesian_prod(along, along)
        error: Tensor = self.place(self.norm(states)).float() - truth
        return error.square().mean()


class WordAlignment(nn.Module):
    """Draws visual tokens towards the words for what they show, as contrastive pretraining would."""

    def __init__(self) -> None:
        super().__init__()
        self.words = [VOCABULARY[label] for label in LABELS]
        self.bias = nn.Parameter(torch.full((len(LABELS),), -3.0))

    def forward(self, tokens: Tensor, embedding: Tensor, shown: Tensor) -> Tensor:
        """A scalar for tokens (B, n, D) that show ``shown`` (B, n, labels) bool, with the word ``embedding``."""
        scale = 4 * tokens.shape[-1] ** -0.5
        logits = functional.linear(tokens, embedding[self.words]) * scale + self.bias
        return _rare_labels(logits, shown).sum(-1).mean()


def _rare_labels(logits: Tensor, shown: Tensor) -> Tensor:
    """Binary cross entropy of each label; what is there counts four times, since most labels are absent."""
    target = shown.float()
    return functional.binary_cross_entropy_with_logits(logits.float(), target, 1 + 3 * target, reduction="none")

"""Auxiliary losses of training; their parameters are not shipped."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.packing import LABELS
from vidfold.tiny.language import VOCABULARY
from vidfold.tiny.worlds import SHAPES


class PatchReader(nn.Module):
    """Predicts from the state of each patch what the patch shows."""

    emphasis: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.labels = nn.Linear(width, len(LABELS))
        # Shapes are the hardest to learn.
        self.register_buffer("emphasis", torch.tensor([4.0 if label in SHAPES else 1.0 for label in LABELS]))

    def forward(self, states: Tensor, shown: Tensor) -> Tensor:
        """Scalar loss for states (N, P, E) of patches that show ``shown`` (N, P, labels) bool."""
        loss = _rare_labels(self.labels(self.norm(states)), shown)
        return (loss * self.emphasis).sum(-1).mean()


class FrameReader(nn.Module):
    """Predicts from the state of each patch what its whole frame shows.

    A global objective, like contrastive pretraining: patches learn to attend to objects rather than to background,
    so received attention becomes salient.  The drawback: every token carries some information about its frame, so
    dropping tokens at random costs less accuracy.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.labels = nn.Linear(width, len(LABELS))

    def forward(self, states: Tensor, shown: Tensor) -> Tensor:
        """Scalar loss for states (N, P, E) of patches that show ``shown`` (N, P, labels) bool."""
        anywhere = shown.any(1, keepdim=True).expand(-1, states.shape[1], -1)
        return _rare_labels(self.labels(self.norm(states)), anywhere).sum(-1).mean()


class PlaceReader(nn.Module):
    """Predicts from the state of each patch its position in the frame; large towers encode it too.

    Without it this small tower loses positions, and the language model cannot recover them when tokens are missing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.place = nn.Linear(width, 2)

    def forward(self, states: Tensor) -> Tensor:
        """Scalar mean squared error of (row, column) in -1 ... 1, for states (N, G * G, E)."""
        side = math.isqrt(states.shape[1])
        along = torch.linspace(-1, 1, side, device=states.device)
        truth = torch.cartesian_prod(along, along)
        error: Tensor = self.place(self.norm(states)).float() - truth
        return error.square().mean()


class WordAlignment(nn.Module):
    """Pulls visual tokens towards the embeddings of the words for what they show, like contrastive pretraining."""

    def __init__(self) -> None:
        super().__init__()
        self.words = [VOCABULARY[label] for label in LABELS]
        self.bias = nn.Parameter(torch.full((len(LABELS),), -3.0))

    def forward(self, tokens: Tensor, embedding: Tensor, shown: Tensor) -> Tensor:
        """Scalar loss for tokens (B, n, D) that show ``shown`` (B, n, labels) bool; ``embedding`` is that of words."""
        scale = 4 * tokens.shape[-1] ** -0.5
        logits = functional.linear(tokens, embedding[self.words]) * scale + self.bias
        return _rare_labels(logits, shown).sum(-1).mean()


def _rare_labels(logits: Tensor, shown: Tensor) -> Tensor:
    """Binary cross entropy of each label; present labels have weight 4, since most labels are absent."""
    target = shown.float()
    return functional.binary_cross_entropy_with_logits(logits.float(), target, 1 + 3 * target, reduction="none")

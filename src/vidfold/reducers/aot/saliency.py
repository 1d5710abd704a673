"""Received attention as one weight a token, for choices that go by it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from vidfold.ops.ranks import window_ids
from vidfold.tokens import Grid

WINDOWS = 3
"""Windows along each axis, as in the paper."""
_LEAST_MEAN, _LEAST = 1e-9, 1e-6


def saliency(shallow: Tensor, deep: Tensor, grid: Grid) -> Tensor:
    """The paper's local and global anchors as one number: half shallow attention over its mean in the window, half deep
    attention over its mean in the frame.

    Args:
        shallow: (F, N) float32, attention received in a shallow layer, on ``grid``.
        deep: (F, N) float32, the same in a deep layer.
        grid: (h, w), N = h * w.

    Returns:
        (F, N) float32, positive, mean about 1.
    """
    window = functional.one_hot(window_ids(grid, WINDOWS, shallow.device), WINDOWS**2).to(shallow.dtype)
    local = (shallow @ window / window.sum(0).clamp_min(1)) @ window.T
    shares = deep / deep.mean(1, keepdim=True).clamp_min(_LEAST_MEAN) + shallow / local.clamp_min(_LEAST_MEAN)
    return (shares / 2).clamp_min(_LEAST)

"""Gradients of a fold: what goes where is decided without them, and the tokens are made with them."""

import dataclasses

import torch
from torch import Tensor

from vidfold.tokens import Reduction, VideoTokens


def with_gradients(reduction: Reduction, video: VideoTokens) -> Reduction:
    """The same tokens and side features, with gradients to those that they were folded from.

    Args:
        reduction: with ``weights``; the folding itself ran without gradients.
        video: what was folded, with gradients.

    Returns:
        The reduction without its weights.
    """
    weights = reduction.weights
    assert weights is not None
    pooled = video.pooled().flatten(0, 1)
    sources = pooled if weights.shape[1] <= len(pooled) + 1 else video.features.flatten(0, 1)
    if weights.shape[1] > len(sources) and video.newline is not None:
        sources = torch.cat([sources, video.newline[None].to(sources)])
    side = reduction.side
    if side is not None and video.side is not None:
        side = torch.stack([_mixed(weights, *pair) for pair in zip(video.side.flatten(1, 2), side, strict=True)])
    return dataclasses.replace(reduction, tokens=_mixed(weights, sources, reduction.tokens), side=side, weights=None)


def without_gradients(reduction: Reduction) -> Reduction:
    """The same tokens without gradients, so that what keeps them keeps no graph."""
    side = None if reduction.side is None else reduction.side.detach()
    return dataclasses.replace(reduction, tokens=reduction.tokens.detach(), side=side)


def _mixed(weights: Tensor, sources: Tensor, values: Tensor) -> Tensor:
    """``values`` (K, D), to the bit, with the gradients of ``weights @ sources``."""
    with torch.autocast(sources.device.type, enabled=False):
        mixed: Tensor = torch.sparse.mm(weights.float(), sources.float()).to(values.dtype)
    return values.detach() + (mixed - mixed.detach())

"""Merging as one small matrix a frame: which share of every token goes into each merged one, before any is computed.

Whatever is merged, blended and pooled in a frame is linear in its tokens. Composing the small matrices first leaves one
product with the features, and only for the rows that survive; the merged frame itself is never written.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidfold.tokens import VideoTokens


def absorbing(sent: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of each anchor and what is sent to it, as a matrix (AOT, eq. 7 with anchors of mass 1).

    Args:
        sent: (F, S, n), mass that each token sends to each anchor, not negative; anchors send nothing.
        anchors: (F, n) int64, the token each anchor is.

    Returns:
        The matrix (F, n, S) with rows of sum 1, and the mass (F, n) of each anchor afterwards.
    """
    mass = 1 + sent.sum(1)
    mix = (sent / mass[:, None]).transpose(1, 2)
    return mix.scatter(2, anchors[:, :, None], (1 / mass)[:, :, None]), mass


def pooling_matrix(tokens: VideoTokens) -> Tensor:
    """What each cell of the language grid takes of every patch, (N, H*W) float32 on the device of the tokens."""
    height, width = tokens.grid
    return tokens.pool(torch.eye(height * width, dtype=torch.float32, device=tokens.features.device)[None])[0]


def surviving(pooling: Tensor, cells: Tensor, anchors: Tensor, mix: Tensor) -> Tensor:
    """What chosen cells are made of, when anchors are merged before pooling.

    Args:
        pooling: (N, S), see `pooling_matrix`.
        cells: (F, n) int64, the cells that survive.
        anchors: (F, T) int64, the patches that are anchors, no patch twice.
        mix: (F, T, S), what each merged anchor is made of; every other patch stays itself.

    Returns:
        (F, n, S).
    """
    rows = pooling[cells]
    columns = anchors[:, None, :].expand(-1, cells.shape[1], -1)
    return torch.baddbmm(rows.scatter(2, columns, 0.0), rows.gather(2, columns), mix)

"""What it costs to move one token onto another."""

import torch
from torch import Tensor
from torch.nn import functional

_SHORTEST = 1e-12
"""Length below which a vector counts as zero."""


def cosine(tokens: Tensor, anchors: Tensor) -> Tensor:
    """Cosine cost 1 - cos, in [0, 2] (AOT, phase I and II).

    One batched matrix product; a vector of zeros is at cost 1 from everything. Gradients flow to both sides.

    Args:
        tokens: (..., M, D) of any float dtype.
        anchors: (..., N, D).

    Returns:
        (..., M, N) float32.

    Raises:
        ValueError: tokens and anchors of different width or on different devices.
    """
    if tokens.shape[-1] != anchors.shape[-1]:
        raise ValueError(
            f"tokens and anchors must be of one width, got {tuple(tokens.shape)} and {tuple(anchors.shape)}"
        )
    if tokens.device != anchors.device:
        raise ValueError(f"tokens and anchors must be on one device, got {tokens.device} and {anchors.device}")
    tokens = tokens.float()  # in half precision the squares of a norm would overflow
    # Only the few anchors are scaled beforehand: a scaled copy of all tokens would cost more than the product. They
    # stand on the left, with which CPU libraries are a sixth faster.
    unit = functional.normalize(anchors.float(), dim=-1)
    products: Tensor = (unit @ tokens.transpose(-1, -2)).transpose(-1, -2)
    lengths: Tensor = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True).clamp_min(_SHORTEST)
    return (1 - products / lengths).clamp_min(0)


def grid_positions(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Positions (x, y) in [0, 1] of cells (...) int64 of a row-major grid, (..., 2) float32; 0 on a side of one."""
    height, width = grid
    column, row = (cells % width).float(), (cells // width).float()
    return torch.stack([column / max(width - 1, 1), row / max(height - 1, 1)], dim=-1)


def grid_distance(positions: Tensor, others: Tensor) -> Tensor:
    """Euclidean distance of grid positions (..., M, 2) and (..., N, 2): (..., M, N) float32."""
    return torch.cdist(positions, others, compute_mode="donot_use_mm_for_euclid_dist")

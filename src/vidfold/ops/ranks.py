"""Token anchors: the tokens of a frame that stay and absorb the others (AOT, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidfold.tokens import Grid


def window_ids(grid: Grid, windows: int, device: torch.device | None = None) -> Tensor:
    """The window each cell of a row-major grid lies in, (H*W,) int64, for ``windows`` x ``windows`` near-equal ones."""
    height, width = grid
    rows = torch.arange(height, device=device) * windows // height
    columns = torch.arange(width, device=device) * windows // width
    return (rows[:, None] * windows + columns).flatten()


def descending_rank(values: Tensor) -> Tensor:
    """Rank of each entry along the last axis, 0 for the largest; of equals the lower index comes first. int64."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, ranks)


def window_rank(values: Tensor, grid: Grid, windows: int) -> Tensor:
    """Rank of each cell among those of its own window, 0 for the largest value.

    Args:
        values: (F, H*W) row-major on ``grid``.
        grid: (H, W).
        windows: windows along each axis.

    Returns:
        (F, H*W) int64.
    """
    ids = window_ids(grid, windows, values.device)
    sizes = torch.zeros(windows * windows, dtype=torch.int64, device=ids.device).scatter_add_(
        0, ids, torch.ones_like(ids)
    )
    firsts = sizes.cumsum(0) - sizes
    by_value = values.argsort(dim=-1, descending=True, stable=True)
    by_window = by_value.gather(-1, ids[by_value].argsort(dim=-1, stable=True))
    place = torch.arange(values.shape[-1], device=values.device).expand_as(by_window)
    return torch.empty_like(by_window).scatter_(-1, by_window, place) - firsts[ids]


def local_and_global(
    shallow: Tensor, deep: Tensor, grid: Grid, local: Tensor, total: Tensor, windows: int = 3
) -> Tensor:
    """Choose anchors: the most attended of each window in a shallow layer, then the most attended in a deep one.

    Windows take turns, best first, so their quotas differ by at most one and a small window leaves its turn to
    the others. Global anchors come from what is left, so the total is exact.

    Args:
        shallow: (F, N) attention received in a shallow layer, on ``grid``.
        deep: (F, N) attention received in a deep layer.
        grid: height and width, N = h*w.
        local: (F,) int64, local anchors of each frame.
        total: (F,) int64, local and global anchors together, local <= total <= N.
        windows: windows along each axis.

    Returns:
        (F, N) bool, exactly ``total`` of them True in each frame.
    """
    turn = window_rank(shallow, grid, windows)
    # One sort by turn, then by attention within the turn.
    by_attention = shallow.argsort(dim=-1, descending=True, stable=True)
    order = by_attention.gather(-1, turn.gather(-1, by_attention).argsort(dim=-1, stable=True))
    ranks = torch.arange(shallow.shape[-1], device=shallow.device).expand_as(order)
    is_local = torch.empty_like(order).scatter_(-1, order, ranks) < local[:, None]
    is_global = descending_rank(deep.masked_fill(is_local, -torch.inf)) < (total - local)[:, None]
    return is_local | is_global

"""Ranks and orders by value, by window and by place. Of equal values the lower index comes first."""

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import counts
from vidfold.tokens import Grid


def window_ids(grid: Grid, windows: int, device: torch.device | None = None) -> Tensor:
    """The window each cell of a row-major grid lies in, (H*W,) int64, for ``windows`` x ``windows`` near-equal ones."""
    height, width = grid
    rows = torch.arange(height, device=device) * windows // height
    columns = torch.arange(width, device=device) * windows // width
    return (rows[:, None] * windows + columns).flatten()


def inverse(order: Tensor) -> Tensor:
    """The place of each index in an order (..., n) of 0 to n - 1 along the last axis: (..., n) int64."""
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def descending_rank(values: Tensor) -> Tensor:
    """Rank of each entry along the last axis, 0 for the largest; of equal ones the lower index comes first. int64."""
    return inverse(values.argsort(dim=-1, descending=True, stable=True))


def order_within(groups: Tensor, values: Tensor) -> Tensor:
    """Order (..., n) by ascending group (..., n), and within a group by descending value (..., n)."""
    by_value = values.argsort(dim=-1, descending=True, stable=True)
    return by_value.gather(-1, groups.expand_as(values).gather(-1, by_value).argsort(dim=-1, stable=True))


def first_true(mask: Tensor, count: int) -> Tensor:
    """Indices (..., count) of the True entries of (..., n) along the last axis, ascending; then of other entries."""
    return mask.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :count]


def reading_order(kept: Tensor, total: int | None) -> Tensor:
    """Flat indices (K,) of the kept cells (F, N) bool, in order of time, then raster.

    ``total`` is K; None counts them, which waits for the device.
    """
    return first_true(kept.flatten(), int(kept.sum()) if total is None else total)


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (B, n) of each item of ``values`` (B, m, E): (B, n, E)."""
    batch, rows, width = values.shape
    # Whole rows at a time: on a CPU several times faster than gathering number by number.
    first = rows * torch.arange(batch, device=index.device)[:, None]
    return values.reshape(-1, width).index_select(0, (first + index).flatten()).view(batch, -1, width)


def first_members(labels: Tensor, groups: int) -> Tensor:
    """Lowest index (G,) int64 in each group of ``labels`` (S,), S where it is empty; the label G means no group."""
    index = torch.arange(len(labels), device=labels.device)
    return labels.new_full((groups + 1,), len(labels)).scatter_reduce_(0, labels, index, "amin")[:groups]


def by_first_member(labels: Tensor, groups: int, among: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Groups numbered in the order of their first members: the new labels (S,) and those members (groups,).

    Only members that are ``among`` (S,) bool count as first. The label G means no group, and is unchanged.
    """
    counted = labels if among is None else labels.masked_fill(~among, groups)
    first, order = first_members(counted, groups).sort()
    return functional.pad(inverse(order), (0, 1), value=groups)[labels], first


def window_rank(values: Tensor, grid: Grid, windows: int) -> Tensor:
    """Rank (F, H*W) int64 of each cell among those of its own window, 0 for the largest of the values (F, H*W).

    The grid (H, W) is row-major, with so many windows along each axis.
    """
    ids = window_ids(grid, windows, values.device)
    sizes = counts(ids, windows * windows)
    return inverse(order_within(ids, values)) - (sizes.cumsum(0) - sizes)[ids]


def local_and_global(
    shallow: Tensor, deep: Tensor, grid: Grid, local: Tensor, total: Tensor, windows: int = 3
) -> Tensor:
    """Choose anchors: the most attended of each window in a shallow layer, then the most attended in a deep one.

    Windows take turns, best first, so their quotas differ by at most one; a window without tokens passes its turn on.
    Global anchors are other tokens, so the total is exact.

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
    is_local = inverse(order_within(turn, shallow)) < local[:, None]
    is_global = descending_rank(deep.masked_fill(is_local, -torch.inf)) < (total - local)[:, None]
    return is_local | is_global

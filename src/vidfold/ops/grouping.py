"""Tokens in groups: every source joins one group or none; a group stands where its first member stood."""

from __future__ import annotations

import torch
from torch import Tensor

from vidfold.ops.merging import sum_rows
from vidfold.tokens import Reduction, VideoTokens


def group_sums(values: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Sums (groups, E) of the rows of ``values`` (S, E) by ``labels`` (S,) int64; rows of label -1 are left out."""
    # One row more takes what is left out.
    return sum_rows(values, torch.where(labels < 0, groups, labels), groups + 1)[:groups]


def group_sizes(labels: Tensor, groups: int) -> Tensor:
    """Members (groups,) int64 of each group."""
    return group_sums(torch.ones_like(labels)[:, None], labels, groups)[:, 0]


def first_members(labels: Tensor, groups: int) -> Tensor:
    """Lowest source index (groups,) int64 in each group; S where a group is empty."""
    sources = torch.arange(len(labels), device=labels.device)
    first = labels.new_full((groups + 1,), len(labels))
    return first.scatter_reduce_(0, torch.where(labels < 0, groups, labels), sources, "amin")[:groups]


def by_first_member(labels: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Groups renumbered in the order of their first members: the new labels (S,) and those members (groups,)."""
    first, order = first_members(labels, groups).sort()
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(groups, device=order.device))
    return torch.where(labels < 0, labels, rank[labels.clamp_min(0)]), first


def group_matrix(labels: Tensor, groups: int, shares: Tensor | None = None) -> Tensor:
    """The matrix of a fold into groups, sparse (groups, S).

    Args:
        labels: (S,) int64, -1 for a source that is dropped.
        groups: number of groups.
        shares: (S,) float32, what each source gives to its group; None: the group's mean.
    """
    if shares is None:
        shares = 1 / group_sizes(labels, groups).clamp_min(1)[labels.clamp_min(0)].float()
    sources = (labels >= 0).nonzero()[:, 0]
    size = (groups, len(labels))
    places = torch.stack([labels[sources], sources])
    return torch.sparse_coo_tensor(places, shares[sources], size, check_invariants=False).coalesce()


def merge_groups(tokens: VideoTokens, labels: Tensor, groups: int, places: Tensor, *, weights: bool) -> Reduction:
    """The reduction to the plain mean of every group.

    Args:
        tokens: the video.
        labels: (F*N,) int64 group of every pooled token, -1 for one that is dropped.
        groups: K, none of them empty.
        places: (K,) int64, the flat index each group stands for.
        weights: also give the (K, F*N) matrix.
    """
    sums = group_sums(tokens.pooled().flatten(0, 1).float(), labels, groups)
    means = sums / group_sizes(labels, groups).clamp_min(1)[:, None]
    return Reduction(
        tokens=means.to(tokens.features.dtype),
        frames=places // tokens.cells,
        cells=places % tokens.cells,
        grid=tokens.language_grid,
        full=tokens.frames * tokens.cells,
        weights=group_matrix(labels, groups) if weights else None,
    )

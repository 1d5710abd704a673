"""Clustering by density peaks (DPC-kNN), for batches of ragged sets."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import Mix
from vidfold.ops.ranks import descending_rank, first_true
from vidfold.ops.shares import host_bound


@dataclass(frozen=True, eq=False)
class Clusters:
    """The centres, and which centre every point joins.

    Attributes:
        centre: (B, n) bool.
        nearest: (B, n) int64, the centre that each point joins, by its index in the item; a centre joins itself;
            n where there is no centre to join.
        rank: (B, n) int64, place of each point in its set by descending score, 0 for the best.
    """

    centre: Tensor
    nearest: Tensor
    rank: Tensor


def density_peaks(
    points: Tensor, group: Tensor, count: Tensor, neighbours: int, *, capped: bool = False, merge: Mix | None = None
) -> Clusters:
    """Clusters of each set around its density peaks (DPC-kNN; Du, Ding and Jia 2016, as token merging uses it).

    With d the Euclidean distance over sqrt(E), the density of a point is exp(-mean of its k smallest d^2, itself
    included); its score is the density times the distance to the nearest denser point. The points of highest score are
    the centres, and every other one joins the nearest of them. Of two equal densities, and of two equal scores, the
    lower index counts as higher. Scores are compared as logarithms, so no density underflows. Where a set is smaller
    than k or than its count, all of it is taken.

    Args:
        points: (B, n, E) float32.
        group: (B, n) int64, the set within the item that each point belongs to, 0 <= group < G; -1: none.
        count: (B, G) int64, centres of each set.
        neighbours: k.
        capped: whether k is at most the count as well.
        merge: of the B*n points, done first.
    """
    member = group >= 0
    size = group.shape[1]
    most = host_bound(member.sum(1), size)
    if most == size:
        merged = points.clone() if merge is None else merge(points.flatten(0, 1)).view_as(points)
        return _peaks(merged, group, count, neighbours, capped)

    # On the host it is free to look which items and places are padding.
    centre, nearest, rank = torch.zeros_like(member), torch.full_like(group, size), torch.zeros_like(group)
    used = member.any(1).nonzero()[:, 0]
    if len(used) > 0:
        places = first_true(member[used], most)
        at = used[:, None], places
        if merge is None:
            merged = points[at]
        else:
            merged = merge.keep((used[:, None] * size + places).flatten())(points.flatten(0, 1))
        found = _peaks(merged.view(*places.shape, -1), group[at], count[used], neighbours, capped)
        centre[at], rank[at] = found.centre, found.rank
        nearest[at] = functional.pad(places, (0, 1), value=size).gather(1, found.nearest)
    return Clusters(centre, nearest, rank)


def _peaks(points: Tensor, group: Tensor, count: Tensor, neighbours: int, capped: bool) -> Clusters:
    """`density_peaks` of points that it may write to."""
    size, member = points.shape[1], group >= 0
    own = group.clamp_min(0)
    index = torch.arange(size, device=points.device)
    distance = _squared_distances(points, member).masked_fill_(group[:, :, None] != group[:, None, :], torch.inf)

    in_set = group[:, None, :] == torch.arange(count.shape[1], device=points.device)[:, None]
    near = in_set.sum(2).clamp_max(neighbours)
    if capped:
        near = torch.minimum(near, count)
    near = near.clamp_min(1).gather(1, own)
    closest = distance.topk(min(size, neighbours), largest=False).values
    sparsity = closest.masked_fill_(index[: closest.shape[2]] >= near[:, :, None], 0).sum(2) / near

    place = descending_rank(-sparsity)
    separation = distance.masked_fill(place[:, None, :] >= place[:, :, None], torch.inf).amin(2)
    # The densest point of a set has no denser one; it comes first whatever its distance.
    score = (separation.log() / 2 - sparsity).clamp_min(torch.finfo(points.dtype).min)
    rank = descending_rank(score[:, None, :].masked_fill(~in_set, -torch.inf)).gather(1, own[:, None, :])[:, 0]

    centre = member & (rank < count.gather(1, own))
    distance.masked_fill_(~centre[:, None, :], torch.inf)
    closest_centre, nearest = distance.min(2)
    nearest = nearest.masked_fill(closest_centre.isinf(), size)
    return Clusters(centre, torch.where(centre, index, nearest), rank)


def _squared_distances(points: Tensor, member: Tensor) -> Tensor:
    """Squared Euclidean distances over E, (B, n, n), of points (B, n, E), from which their mean is subtracted in place.

    Around the mean the squares are small, so rounding is small beside their differences.
    """
    scale = 1 / points.shape[2]
    inside = member[:, None, :].to(points.dtype)
    points.sub_(inside @ points / inside.sum(2, keepdim=True).clamp_min(1))
    norm = torch.linalg.vector_norm(points, dim=2).square() * scale
    square = torch.baddbmm(norm[:, :, None] + norm[:, None, :], points, points.transpose(1, 2), alpha=-2 * scale)
    square.diagonal(dim1=1, dim2=2).zero_()
    return square.clamp_min_(0)

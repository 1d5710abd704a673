"""Choosing tokens that cover all others, from a matrix of costs; batched over items, serial in the number chosen."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest(cost: Tensor, weight: Tensor, members: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose one by one the token whose weighted cost to all chosen ones is largest (Gonzalez 1985).

    The first is the weighted 1-median. A step looks at one row of the costs: O(count * n).

    Args:
        cost: (B, n, n) float32, symmetric, not negative.
        weight: (B, n) float32, positive.
        members: (B, n) bool, which may be chosen; each item needs at least one.
        count: how many to choose, at most n. Where an item has fewer members, any token may follow them.

    Returns:
        (B, count) int64 in the order of choice, and (B, count) float32, how far each was from those before it; the
        first is infinitely far, what is no member has -inf. Of equal ones the lowest index is taken.
    """
    items = torch.arange(len(cost), device=cost.device)
    spread = (cost @ (weight * members)[:, :, None])[:, :, 0]
    best = spread.masked_fill(~members, torch.inf).argmin(1)
    nearest = torch.where(members, torch.inf, -torch.inf)
    chosen, gains = [best], [nearest[:, 0].new_full((len(cost),), torch.inf)]
    for _ in range(count - 1):
        torch.minimum(nearest, cost[items, best], out=nearest)
        nearest[items, best] = -torch.inf
        gain, best = (weight * nearest).max(1)
        chosen.append(best)
        gains.append(gain)
    return torch.stack(chosen, dim=1), torch.stack(gains, dim=1)


def facility(cost: Tensor, weight: Tensor, members: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose one by one the token that lowers sum_i w_i min_j c_ij over the chosen j most (greedy k-median).

    A step looks at all costs: O(count * n^2). Arguments and results as those of `farthest`, but costs need not be
    symmetric, and weights may be 0; a gain is by how much the sum falls, and the first one's is infinite.
    """
    items = torch.arange(len(cost), device=cost.device)
    mass = (weight * members)[:, None, :]
    covered = cost.amax((1, 2), keepdim=True) - cost
    taken, before = ~members, torch.zeros_like(weight[:, 0])
    chosen, gains = [], []
    for _ in range(count):
        # What the chosen ones cover already is in every sum alike.
        most, best = (mass @ covered)[:, 0].masked_fill(taken, -torch.inf).max(1)
        chosen.append(best)
        gains.append(most - before)
        row = covered[items, :, best]
        taken = taken.scatter(1, best[:, None], True)
        torch.maximum(covered, row[:, :, None], out=covered)
        before = (mass[:, 0] * row).sum(1)
    gains[0] = torch.full_like(before, torch.inf)
    return torch.stack(chosen, dim=1), torch.stack(gains, dim=1)

"""Choosing tokens that cover all others; batched over items, serial in the number chosen."""

from collections.abc import Callable

import torch
from torch import Tensor

from vidfold.ops.ranks import gather_rows
from vidfold.ops.shares import host_bound, on_host

_BLOCK = 512
_AHEAD = 32
"""Tokens whose costs are computed together, on a CPU: the next choices are mostly among the farthest ones."""


def farthest(
    cost: Tensor,
    weight: Tensor,
    members: Tensor,
    count: int,
    *,
    start: Tensor | None = None,
    repeats: bool = False,
) -> tuple[Tensor, Tensor]:
    """Choose one by one the token whose weighted cost to all chosen ones is largest (Gonzalez 1985).

    A step looks at one row of the costs: O(count * n).

    Args:
        cost: (B, n, n) float32, symmetric, not negative.
        weight: (B, n) float32, not negative unless ``repeats``.
        members: (B, n) bool, which may be chosen; each item needs at least one.
        count: how many to choose, 1 to n. Where an item has fewer members, any token may follow them.
        start: (B,) int64, the first choice; None: the weighted 1-median.
        repeats: whether a token may be chosen again, as happens where all others are at no cost.

    Returns:
        (B, count) int64 in the order of choice, and (B, count) float32, how far each was from those before it; the
        first is infinitely far, what is no member has -inf. Of equal ones the lowest index is taken.
    """
    if start is None:
        start = (cost @ (weight * members)[:, :, None])[:, :, 0].masked_fill(~members, torch.inf).argmin(1)
    far = torch.full_like(weight, torch.inf).masked_fill_(~members, -torch.inf)
    return _one_by_one(lambda best, _: gather_rows(cost, best)[:, 0] * weight, far, start[:, None], count, repeats)


def farthest_units(units: Tensor, start: Tensor, count: int, *, repeats: bool = False) -> Tensor:
    """`farthest` by 1 - cosine of unit tokens, without a matrix of costs: O(count * n * D), memory O(n).

    On a CPU, where matrix-vector products wait for memory, the costs of the farthest tokens are computed ahead.
    Elsewhere the host does not wait.

    Args:
        units: (B, n, D) float32 of norm 1.
        start: (B,) int64, the first choice of each item.
        count: how many to choose, 1 to n.
        repeats: whether a token may be chosen again, as happens where only copies of chosen ones are left.

    Returns:
        (B, count) int64 in the order of choice.
    """
    ahead = min(_AHEAD, units.shape[1]) if on_host(units) else 1
    known = start[:, None]
    costs = -gather_rows(units, known) @ units.transpose(1, 2)

    def row_of(best: Tensor, far: Tensor) -> Tensor:
        nonlocal known, costs
        if ahead == 1 or not bool((known == best).any(1).all()):
            known = best if ahead == 1 else torch.cat([best, far.topk(ahead - 1).indices], dim=1)
            costs = -gather_rows(units, known) @ units.transpose(1, 2)
        return gather_rows(costs, (known == best).int().argmax(1, keepdim=True))[:, 0]

    far = units.new_full(units.shape[:2], torch.inf)
    return _one_by_one(row_of, far, start[:, None], count, repeats)[0]


def _one_by_one(
    row_of: Callable[[Tensor, Tensor], Tensor], far: Tensor, best: Tensor, count: int, repeats: bool
) -> tuple[Tensor, Tensor]:
    """The loop of all three.

    Args:
        row_of: cost (B, n) of all tokens to the chosen one (B, 1), given how far (B, n) they are from those before it;
            or another bound of what each would gain now.
        far: (B, n), infinite where a token may be chosen.
        best: (B, 1) int64, the first choice.
    """
    chosen, gains = [best], [torch.full_like(far[:, :1], torch.inf)]
    for _ in range(count - 1):
        if not repeats:
            far = far.scatter(1, best, -torch.inf)
        far = torch.minimum(far, row_of(best, far))
        gain, best = far.max(1, keepdim=True)
        chosen.append(best)
        gains.append(gain)
    return torch.cat(chosen, dim=1), torch.cat(gains, dim=1)


def most_isolated(units: Tensor) -> Tensor:
    """The token least similar to the one most similar to it, a scalar int64; of equal ones the lowest index.

    Blocks of tokens are compared with all, the least similar ones first: what they show of the others is a bound of
    these. On a CPU it stops when no other token can be more isolated; elsewhere, where the host does not wait, all
    pairs are looked at. O(n^2 D) operations at most, O(n) memory.

    Args:
        units: (n, D) float32 of norm 1.
    """
    count = len(units)
    index = torch.arange(count, device=units.device)
    # The largest similarity of each token: a lower bound until the token itself was compared with all.
    nearest = torch.full_like(units[:, 0], -torch.inf)
    waiting = torch.ones_like(nearest, dtype=torch.bool)
    block = index[:: -(-count // _BLOCK)]
    for _ in range(0, count, _BLOCK):
        similarity = units[block] @ units.T
        similarity.scatter_(1, block[:, None], -torch.inf)
        nearest = torch.maximum(nearest, similarity.amax(0)).index_copy_(0, block, similarity.amax(1))
        waiting.index_fill_(0, block, False)
        if on_host(units):
            best = nearest.masked_fill(waiting, torch.inf).argmin()
            waiting &= (nearest < nearest[best]) | ((nearest == nearest[best]) & (index < best))
            if not bool(waiting.any()):
                break
        block = (
            nearest.masked_fill(~waiting, torch.inf)
            .topk(min(_BLOCK, host_bound(waiting.sum(), count)), largest=False)
            .indices
        )
    return nearest.argmin()


def facility(cost: Tensor, weight: Tensor, members: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose one by one the token that lowers sum_i w_i min_j c_ji over the chosen j most (greedy k-median).

    A gain is the sum of w_i max(0, nearest_i - c_ji), in float64 where the device has it. It is never the difference
    of two large sums, so rounding is small beside it however late it comes. Gains can only fall (the sum is
    submodular), so on a CPU only those that may be the largest are computed again (lazy greedy, Minoux 1978).
    Elsewhere all are, O(n^2) a step, and the host does not wait. The choices are the same.

    Arguments and results as those of `farthest`, but weights may be 0; a gain is by how much the sum falls, and the
    first one's is infinite. Costs need not be symmetric: c_ji is the cost of token i when j serves it.
    """
    mass = (weight * members)[:, None, :].to(torch.float32 if cost.device.type == "mps" else torch.float64)
    worst = cost.amax((1, 2), keepdim=True).expand_as(mass).to(mass.dtype)
    best = _gains(worst, cost, mass).masked_fill(~members, -torch.inf).argmax(1, keepdim=True)
    nearest: Tensor | None = None

    def gains_after(best: Tensor, gains: Tensor) -> Tensor:
        nonlocal nearest
        row = gather_rows(cost, best).to(mass.dtype)
        lazy = nearest is not None and on_host(cost)
        nearest = row if nearest is None else torch.minimum(nearest, row)
        return _renewed(gains, nearest, cost, mass) if lazy else _gains(nearest, cost, mass)

    unknown = torch.full_like(mass[:, 0], torch.inf).masked_fill_(~members, -torch.inf)
    chosen, gains = _one_by_one(gains_after, unknown, best, count, repeats=False)
    return chosen, gains.to(cost.dtype)


def _gains(nearest: Tensor, rows: Tensor, mass: Tensor) -> Tensor:
    """By how much each of the rows (B, m, n) of costs would lower the sum, (B, m)."""
    left = (nearest - rows).clamp_min_(0)
    # With the vector on its left, CPU libraries are several times faster.
    return (mass @ left.transpose(1, 2))[:, 0]


def _renewed(gains: Tensor, nearest: Tensor, cost: Tensor, mass: Tensor) -> Tensor:
    """Gains (B, n) of which the largest are computed again, until the very largest is one of these.

    Args:
        gains: of earlier steps, so none is too small; -inf stays.
        nearest: (B, 1, n) cost of each token as it is served now.
        cost: (B, n, n).
        mass: (B, 1, n).
    """
    fresh = torch.zeros_like(gains, dtype=torch.bool)
    best = gains.argmax(1, keepdim=True)
    while not bool(fresh.gather(1, best).all()):
        # Of many equal gains the first one need not be among those that topk finds.
        first = torch.cat([best, gains.topk(min(_AHEAD, gains.shape[1]), 1).indices], dim=1)
        renewed = torch.minimum(gains.gather(1, first), _gains(nearest, gather_rows(cost, first), mass))
        gains, fresh = gains.scatter(1, first, renewed), fresh.scatter(1, first, True)
        best = gains.argmax(1, keepdim=True)
    return gains

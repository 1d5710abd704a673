"""The few points that stand for many: anchors that move to where they serve most, all at once."""

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import sum_rows
from vidfold.ops.ranks import descending_rank, gather_rows, inverse

_SAVED = 0.3
"""Share of the cost of an anchor's tokens that one more anchor there is expected to save."""
_LEAST = 1e-3
"""Weight of a token that lies on its anchor."""
_NEVER = -4.0
"""Below every cosine."""


def quantise(
    units: Tensor, present: Tensor, counts: Tensor, most: int, rounds: int, *, moved: float = 1 / 8
) -> tuple[Tensor, Tensor]:
    """Assign tokens to anchors so that the sum of (1 - cos)^2 of tokens and their anchors is small.

    The measure on k points that is nearest to that of the tokens, in the transport cost (1 - cos)^2, is a fixed point
    of two steps in turn: each token goes to its nearest anchor, and each anchor to the barycentre of its tokens (Lloyd
    1982; Cuturi and Doucet 2014, algorithm 2), here weighted by 1 - cos, since the cost is a square. These steps alone
    stay near where they began. So in all rounds but the first and the last, anchors whose tokens would lose least by
    going to the nearest other anchor (the criterion of Ward 1963) move onto the worst served tokens of the anchors
    with the highest costs, where that is expected to pay. Anchors begin evenly spread over the tokens.

    A round is one product of tokens and anchors, O(n * k * E), one of anchors, and a few steps in O(n * k). None is
    serial in tokens or anchors, and none waits for the device.

    Args:
        units: (B, n, E) float32, tokens of length 1 or 0; padding comes last in each item.
        present: (B, n) bool, which are not padding.
        counts: (B,) int64, anchors of each item, from 1 to its number of tokens.
        most: k, an upper bound of the counts that the host knows, at most n.
        rounds: how often the anchors move, at least 1.
        moved: share of the anchors that a round may move to other tokens, at most; 0: they go to barycentres only.

    Returns:
        (B, n) int64, the anchor in [0, counts) of each token, and (B, n) float32, how near it is (cosine; infinite
        where a token was given an anchor of its own). Every anchor has a token. Padding has any anchor, and -inf.
    """
    batch, size, width = units.shape
    slot = torch.arange(most, device=units.device)
    dead = slot >= counts[:, None]
    places = slot * (present.sum(1, keepdim=True) - 1) // (counts[:, None] - 1).clamp_min(1)
    anchors = gather_rows(units, places.clamp_max(size - 1))
    weight = present.to(units.dtype)
    offsets = most * torch.arange(batch, device=units.device)[:, None]
    for step in range(rounds):
        near, label = _nearest(units, anchors, dead)
        group = (label + offsets).flatten()
        far = (1 - near).clamp_min(0) * present
        weighted = torch.cat([units * (far.clamp_min(_LEAST) if step else weight)[..., None], weight[..., None]], dim=2)
        sums = sum_rows(weighted.flatten(0, 1), group, batch * most).view(batch, most, -1)
        mass = sums[..., width]
        anchors = torch.where((mass > 0)[..., None], functional.normalize(sums[..., :width], dim=2), anchors)
        if moved and 0 < step < rounds - 1:
            limit = (counts * moved).long().clamp_min(1)
            anchors = _exchanged(units, anchors, mass.masked_fill(dead, torch.inf), far.square(), group, limit)
    near, label = _nearest(units, anchors, dead)
    return _without_empty(label, near.masked_fill(~present, -torch.inf), counts, most)


def _nearest(units: Tensor, anchors: Tensor, dead: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and index (B, n) of the nearest anchor (B, k, E), none of the dead ones (B, k), of tokens (B, n, E)."""
    never = _NEVER * dead[:, None, :].to(units.dtype)
    best = torch.baddbmm(never, units, anchors.transpose(1, 2)).max(2)
    return best.values, best.indices


def _exchanged(units: Tensor, anchors: Tensor, mass: Tensor, cost: Tensor, group: Tensor, limit: Tensor) -> Tensor:
    """Anchors (B, k, E) of which those needed least have moved to where tokens are served worst.

    Args:
        units: (B, n, E).
        anchors: (B, k, E), each the barycentre of its tokens.
        mass: (B, k), number of these tokens; infinite: no anchor.
        cost: (B, n), of each token at its anchor; 0: padding.
        group: (B * n,) int64, that anchor, counted through all items.
        limit: (B,) int64, how many at most.
    """
    batch, size, width = units.shape
    most = anchors.shape[1]
    flat, index = cost.flatten(), torch.arange(size, device=units.device).repeat(batch)
    whole = sum_rows(flat[:, None], group, batch * most).view(batch, most)
    highest = flat.new_zeros(batch * most).scatter_reduce_(0, group, flat, "amax")
    worst = index.new_full((batch * most,), size - 1)
    worst.scatter_reduce_(0, group, torch.where(flat >= highest[group], index, size - 1), "amin")

    alike = anchors @ anchors.transpose(1, 2)
    alike.diagonal(dim1=1, dim2=2).fill_(_NEVER)
    other = alike.masked_fill(mass.isinf()[:, None, :], _NEVER).max(2)
    loss, giver = (mass * (1 - other.values).clamp_min(0).square()).sort(dim=1, stable=True)
    gain, taker = (_SAVED * whole).sort(dim=1, descending=True, stable=True)
    turn = torch.arange(most, device=units.device)
    # Of an anchor and the one that would take its tokens, only the first may move.
    bereft = inverse(giver).gather(1, other.indices.gather(1, giver)) < turn
    pays = ((gain > loss) & (giver != taker) & ~bereft & (turn < limit[:, None]))[..., None]
    target = gather_rows(units, worst.view(batch, most).gather(1, taker))
    placed = torch.where(pays, target, gather_rows(anchors, giver))
    return anchors.scatter(1, giver[..., None].expand(-1, -1, width), placed)


def _without_empty(labels: Tensor, near: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The same labels (B, n) and nearness (B, n) with a token for every anchor below the counts (B,).

    An empty one takes the worst served token of those whose anchor has a better served one too.
    """
    size = labels.shape[1]
    rank = descending_rank(near)
    best = rank.new_full((len(labels), most), size).scatter_reduce_(1, labels, rank, "amin")
    only = (rank == best.gather(1, labels)) | near.isinf()
    spare = near.masked_fill(only, torch.inf).argsort(dim=1, stable=True)
    slot = torch.arange(most, device=labels.device)
    empty = (best == size) & (slot < counts[:, None])
    taken = torch.where(empty, spare.gather(1, (empty.cumsum(1) - 1).clamp_min(0)), size)
    # One place more takes what the anchors that have tokens would write.
    filled = functional.pad(labels, (0, 1)).scatter_(1, taken, slot.expand(len(labels), most))
    alone = functional.pad(near, (0, 1)).scatter_(1, taken, torch.inf)
    return filled[:, :-1], alone[:, :-1]

"""The few points that stand for many: anchors that move to where they serve most, all at once."""

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import sum_rows
from vidfold.ops.ranks import descending_rank, gather_rows
from vidfold.ops.sketch import sketch

SAVED = 0.3
"""Share of the cost of an anchor's tokens, the worst served aside, that one more anchor there is expected to save."""
CLOSE = 1e-4
"""Tokens as badly served but for this count as equally badly served: the two tokens of a pair always are."""
ROUNDING = 1e-6
"""Above what rounding does to the cosine of two equal tokens; distances are less by that, so theirs is exactly 0."""
NEVER = -4.0
"""Below every cosine."""
_CPU_BLOCK = 1 << 19
"""Cosines at a time: 2 MiB, which a core's own cache holds, so that they are compared before they reach memory."""


def quantise(
    units: Tensor,
    present: Tensor,
    counts: Tensor,
    most: int,
    rounds: int,
    *,
    coarse: int | None = None,
    moved: float = 1 / 4,
) -> tuple[Tensor, Tensor]:
    """Assign tokens to anchors so that the sum of (1 - cos)^2 of tokens and their anchors is small.

    The measure on k points that is nearest to that of the tokens, in the transport cost (1 - cos)^2, is a fixed point
    of two steps in turn: each token goes to its nearest anchor, and each anchor to the barycentre of its tokens (Lloyd
    1982; Cuturi and Doucet 2014, algorithm 2). These steps alone stay near where they began. So in all rounds but the
    last, anchors whose tokens would lose least by going to the nearest other anchor (the idea of Ward 1963) move onto
    the worst served tokens of the anchors with the highest costs, where that is expected to pay. Anchors begin evenly
    spread over the tokens. Barycentres are plain: weighted by the cost, as its square would ask, that of a pair would
    swing from one token to the other.

    A round is one product of tokens and anchors, O(n * k * E), one of anchors, and a few steps in O(n * E). None is
    serial in tokens or anchors, and none waits for the device.

    Args:
        units: (B, n, E) float32, tokens of length 1 or 0; padding comes last in each item.
        present: (B, n) bool, which are not padding.
        counts: (B,) int64, anchors of each item, from 1 to its number of tokens.
        most: k, an upper bound of the counts that the host knows, at most n.
        rounds: how often the anchors move, at least 1.
        coarse: channels to which tokens are sketched in all assignments but the last (`vidfold.ops.sketch`), which
            cost less then; None: all.
        moved: share of the anchors that a round may move to other tokens, at most; 0: they go to barycentres only.

    Returns:
        (B, n) int64, the anchor in [0, counts) of each token, and (B, n) float32, how near it is (cosine; infinite
        where a token was given an anchor of its own). Every anchor has a token. Padding has any anchor, and -inf.
    """
    batch, size, _ = units.shape
    slot = torch.arange(most, device=units.device)
    dead = slot >= counts[:, None]
    never = NEVER * dead[:, None, :].to(units.dtype)
    places = slot * (present.sum(1, keepdim=True) - 1) // (counts[:, None] - 1).clamp_min(1)
    places = places.clamp_max(size - 1)
    offsets = most * torch.arange(batch, device=units.device)[:, None]
    movable = slot < (counts * moved).long().clamp_min(1)[:, None]
    absent, ones = ~present, units.new_ones(batch * size)
    seen = units if coarse is None else functional.normalize(sketch(units, coarse), dim=2)
    anchors = gather_rows(seen, places)
    for step in range(rounds):
        near, label = _nearest(seen, anchors, never)
        # One anchor more takes what is padding.
        group = (label + offsets).masked_fill(absent, batch * most).flatten()
        far = (1 - ROUNDING - near).clamp(0, 1).flatten()
        if step == rounds - 1 and seen is not units:
            seen, anchors = units, gather_rows(units, places)
        columns = torch.stack([ones, far, far.square()], dim=1)
        served = sum_rows(columns, group, batch * most + 1)[:-1].view(batch, most, 3)
        sums = sum_rows(seen.flatten(0, 1), group, batch * most + 1)[:-1].view_as(anchors)
        anchors = torch.where(served[..., :1] > 0, functional.normalize(sums, dim=2), anchors)
        if moved and step < rounds - 1:
            anchors = _exchanged(seen, anchors, dead, served, far, group, movable)
    near, label = _nearest(units, anchors, never)
    return _without_empty(label, near.masked_fill(~present, -torch.inf), counts, most)


def _nearest(units: Tensor, anchors: Tensor, never: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and index (B, n) of the nearest anchor (B, k, E) of tokens (B, n, E).

    ``never`` (B, 1, k) is added to the cosines, and is large and negative for what is no anchor.
    """
    rows = max(1, _CPU_BLOCK // never.numel()) if units.device.type == "cpu" else units.shape[1]
    turned = anchors.transpose(1, 2)
    if units.shape[1] <= rows:
        best = torch.baddbmm(never, units, turned).max(2)
        return best.values, best.indices
    found = [torch.baddbmm(never, part, turned).max(2) for part in torch.split(units, rows, dim=1)]
    return torch.cat([best.values for best in found], dim=1), torch.cat([best.indices for best in found], dim=1)


def _exchanged(
    units: Tensor, anchors: Tensor, dead: Tensor, served: Tensor, far: Tensor, group: Tensor, movable: Tensor
) -> Tensor:
    """Anchors (B, k, E) of which those needed least have moved to where tokens are served worst.

    Args:
        units: (B, n, E).
        anchors: (B, k, E), each the barycentre of its tokens.
        dead: (B, k) bool, which are no anchors.
        served: (B, k, 3), of the tokens of each: their number, and the sums of 1 - cos and of its square, their cost.
        far: (B * n,), 1 - cos of each token and its anchor, in [0, 1].
        group: (B * n,) int64, that anchor, counted through all items; B * k: padding.
        movable: (B, k) bool, True as often as anchors may move, then False.
    """
    batch, most, width = anchors.shape
    index, slot = (torch.arange(count, device=units.device) for count in (len(far), most))
    highest = far.new_zeros(batch * most + 1).scatter_reduce_(0, group, far, "amax")
    others = far < highest[group] - CLOSE
    worst = index.new_full((batch * most + 1,), len(far) - 1)
    worst.scatter_reduce_(0, group, index.masked_fill(others, len(far) - 1), "amin")

    alike = anchors @ anchors.transpose(1, 2)
    alike.masked_fill_(dead[:, None], NEVER).diagonal(dim1=1, dim2=2).fill_(NEVER)
    other = alike.max(2)
    mass, away, whole = served.unbind(2)
    apart, less = (1 - ROUNDING - other.values).clamp_min(0), away - whole
    # At the nearest other anchor, a token's cosine is expected to be the product of two: of it and its own anchor,
    # and of the two anchors.
    loss = apart * (apart * (mass - away - less)).add(less, alpha=2)
    loss, giver = loss.masked_fill(dead, torch.inf).sort(dim=1, stable=True)
    gain = torch.lerp(highest[:-1].view(batch, most).square(), whole, SAVED)
    gain, taker = gain.sort(dim=1, descending=True, stable=True)
    # Of an anchor and the one that would take its tokens, only the first may move.
    turn = torch.empty_like(giver).scatter_(1, giver, slot.expand(batch, -1))
    last = turn.gather(1, other.indices.gather(1, giver)) >= slot
    pays = ((gain > loss) & (giver != taker) & last & movable).flatten()[:, None]
    target = units.flatten(0, 1).index_select(0, worst[:-1].view(batch, most).gather(1, taker).flatten())
    everyone, giver = (
        anchors.flatten(0, 1),
        (giver + most * torch.arange(batch, device=units.device)[:, None]).flatten(),
    )
    placed = torch.where(pays, target, everyone.index_select(0, giver))
    return everyone.index_copy(0, giver, placed).view(batch, most, width)


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

"""Greedy choices of representative tokens, batched over items; serial by nature in the number chosen only."""

from __future__ import annotations

import torch
from torch import Tensor

from vidfold.ops.ranks import gather_rows

_BLOCK = 1024
_AHEAD = 16
"""Tokens whose similarities are computed together, on a CPU: the next choices are mostly among the least covered."""


def farthest_first(units: Tensor, count: int, start: Tensor, *, repeats: bool = False) -> tuple[Tensor, Tensor]:
    """Choose tokens one by one, always the one least similar to all chosen so far (Gonzalez 1985).

    A running maximum of similarities makes a step one matrix-vector product: O(count * n * D), memory O(n). On a CPU,
    where such products wait for memory, the similarities of the least covered tokens are computed ahead; the choices
    are the same to rounding. Elsewhere the host does not wait. Of equal ones the lowest index is taken.

    Args:
        units: (B, n, D) float32 of norm 1.
        count: how many to choose, at most n.
        start: (B,) int64, the first choice of each item.
        repeats: whether a token may be chosen again, as happens where only copies of chosen ones are left.

    Returns:
        (B, count) int64 in the order of choice, and (B, n) int64, which of the choices each token is most similar to.
    """
    ahead = min(_AHEAD, units.shape[1]) if units.device.type == "cpu" else 1
    chosen, closest = [start], torch.zeros(units.shape[:2], dtype=torch.int64, device=units.device)
    rows = _similarities(units, start[:, None])
    nearest = rows[:, 0]
    taken = torch.zeros_like(closest, dtype=torch.bool)
    candidates = start[:, None]
    for step in range(1, count):
        taken.scatter_(1, chosen[-1][:, None], not repeats)
        open_ = nearest.masked_fill(taken, torch.inf)
        best = open_.argmin(1)
        if ahead == 1 or not bool((candidates == best[:, None]).any(1).all()):
            candidates = best[:, None]
            if ahead > 1:
                candidates = torch.cat([candidates, open_.topk(ahead - 1, largest=False).indices], dim=1)
            rows = _similarities(units, candidates)
        place = (candidates == best[:, None]).to(torch.int8).argmax(1)
        similarity = rows.gather(1, place[:, None, None].expand(-1, 1, rows.shape[2]))[:, 0]
        chosen.append(best)
        closest.masked_fill_(similarity > nearest, step)
        nearest = torch.maximum(nearest, similarity)
    return torch.stack(chosen, dim=1), closest


def most_isolated(units: Tensor) -> Tensor:
    """The token least similar to the one most similar to it, a scalar int64; of equal ones the lowest index.

    All pairs are looked at, in blocks: O(n^2 D) operations, O(n) memory.

    Args:
        units: (n, D) float32 of norm 1.
    """
    nearest = units.new_full((len(units),), -torch.inf)
    for first in range(0, len(units), _BLOCK):
        similarity = units[first : first + _BLOCK] @ units[first:].T
        rows = len(similarity)
        similarity.diagonal().fill_(-torch.inf)
        nearest[first:] = torch.maximum(nearest[first:], similarity.amax(0))
        nearest[first : first + rows] = torch.maximum(nearest[first : first + rows], similarity.amax(1))
    return nearest.argmin()


def _similarities(units: Tensor, index: Tensor) -> Tensor:
    """Cosines (B, m, n) of tokens ``index`` (B, m) to all tokens of their item."""
    return gather_rows(units, index) @ units.transpose(1, 2)

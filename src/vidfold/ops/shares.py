"""Whole numbers that add up: how many tokens are kept, and how frames, clips or sets share them."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.ops.ranks import descending_rank, inverse


def kept_tokens(retention: float, frames: int, cells: int) -> int:
    """Number of tokens K = max(1, floor(retention * F * N + 0.5)) kept of F frames with N tokens each."""
    return max(1, math.floor(retention * frames * cells + 0.5))


def evenly(total: int, frames: int, device: torch.device | None = None) -> Tensor:
    """K tokens shared over F frames, (F,) int64; shares differ by at most one, the larger ones spread over time."""
    edges = total * torch.arange(frames + 1, device=device) // frames
    return edges.diff()


def apportion(total: Tensor | int, sizes: Tensor, least: Tensor | int = 0) -> Tensor:
    """Share totals over sets in proportion to their sizes, by largest remainder.

    In whole numbers throughout, so exact; of equal remainders the earlier set comes first.

    Args:
        total: (...) int64 or a number, at most the sum of the sizes.
        sizes: (..., n) int64, tokens in each set; no set gets more.
        least: (..., n) or a number, what a set should get at least, at most its size. If the total is too small
            for that, the largest sets come first.

    Returns:
        (..., n) int64 that sums to ``total``.
    """
    whole = (sizes.new_full(sizes.shape[:-1], total) if isinstance(total, int) else total)[..., None]
    wanted = sizes.clamp_max(least) if isinstance(least, int) else torch.minimum(least, sizes)
    by_size = sizes.argsort(dim=-1, descending=True, stable=True)
    before = wanted.gather(-1, by_size).cumsum(-1) - wanted.gather(-1, by_size)
    sure = torch.minimum((whole - before).clamp_min(0).gather(-1, inverse(by_size)), wanted)

    rest = whole - sure.sum(-1, keepdim=True)
    room = sizes - sure
    everything = room.sum(-1, keepdim=True).clamp_min(1)
    share, remainder = rest * room // everything, rest * room % everything
    left = rest - share.sum(-1, keepdim=True)
    return sure + share + (descending_rank(remainder) < left)


def proportional(total: Tensor | int, weights: Tensor, most: Tensor | int) -> Tensor:
    """Share a total in proportion to weights, none beyond its bound, by largest remainder.

    What the bounded ones cannot take goes to the others, in proportion again. Of equal remainders the earlier comes
    first.

    Args:
        total: () int64 or a number, at most the sum of the bounds.
        weights: (n,) float, not negative; if all are 0, they count as equal.
        most: (n,) int64 or a number, the bounds.

    Returns:
        (n,) int64 that sums to ``total``.
    """
    weight, whole = weights.double(), weights.double().sum()
    # Not 0, so that whatever has room takes what the others cannot.
    weight = torch.where(whole > 0, weight / whole, 1.0) + 1e-12
    bound = torch.zeros_like(weight) + most
    full_at, order = (bound / weight).sort()
    taken = functional.pad(bound[order].cumsum(0), (1, 0))
    rest = functional.pad(weight[order].flip(0).cumsum(0).flip(0), (0, 1))
    full = (taken[1:] + full_at * rest[1:] < total).sum(0, keepdim=True).clamp_max(len(weight) - 1)
    scale = (total - taken.gather(0, full)) / rest.gather(0, full)
    share = torch.minimum(bound, scale * weight)
    sure = share.floor().long()
    return sure + (descending_rank(share - sure) < total - sure.sum())


def on_host(values: Tensor) -> bool:
    """Whether Python may look at the values without a wait: they lie in host memory, neither traced nor fake."""
    return values.device.type == "cpu" and type(values) is Tensor and not torch.compiler.is_compiling()


def host_bound(values: Tensor, bound: int) -> int:
    """An upper bound of whole numbers without a wait: the largest of them if they lie on the host, else ``bound``.

    For the width of padded batches: all beyond the largest is padding, so the result is the same either way.
    """
    return int(values.max()) if on_host(values) else bound

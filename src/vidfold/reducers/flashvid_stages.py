"""The stages of FlashVID: diverse selection in the frame, trees over time."""

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.clips import Clips
from vidfold.ops.cover import farthest
from vidfold.ops.ranks import inverse, order_within


def diverse(pooled: Tensor, weight: Tensor, count: Tensor, most: int, *, repeats: bool = False) -> Tensor:
    """Farthest-first selection by the distance (1 - cos) * weight of the token in question (FlashVID, ADTS).

    The first token is the one farthest from its nearest other; each later one is farthest from the chosen ones. Serial
    over the chosen tokens, all frames at once.

    Args:
        pooled: (F, N, D) float32.
        weight: (F, N), not negative unless ``repeats``.
        count: (F,) int64, tokens to choose in each frame.
        most: an upper bound of it.
        repeats: whether a token may be chosen again, as happens where all others have negative weights.

    Returns:
        (F, N) int64, how often each token was chosen.
    """
    norm = torch.linalg.vector_norm(pooled, dim=-1).clamp_min(1e-12)
    distance = pooled @ pooled.transpose(1, 2)
    distance.div_(-norm[:, :, None]).div_(norm[:, None, :]).add_(1).clamp_min_(0)
    if repeats:
        # The second smallest of the weighted distances, itself included: a negative weight reverses their order.
        second = min(2, weight.shape[1])
        near = distance.topk(second, largest=False).values[..., -1]
        score = torch.where(weight < 0, distance.topk(second).values[..., -1], near) * weight
    else:
        distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        score = distance.amin(2).clamp_max(2) * weight
        distance.diagonal(dim1=1, dim2=2).zero_()
    everyone = torch.ones_like(weight, dtype=torch.bool)
    start = score.argmax(1)
    order, _ = farthest(distance, weight, everyone, max(1, most), start=start, repeats=repeats)
    turn = torch.arange(order.shape[1], device=order.device) < count[:, None]
    return torch.zeros_like(everyone, dtype=torch.int64).scatter_add_(1, order, turn.long())


def likest_before(pooled: Tensor, free: Tensor, clips: Clips) -> tuple[Tensor, Tensor]:
    """For every free token the most similar free one of the frame before, within the segment (FlashVID, TSTM).

    Args:
        pooled: (F, N, D) float32.
        free: (F, N) bool.
        clips: the segments.

    Returns:
        Cosine similarity (F, N), -inf where there is none, and its cell (F, N) int64.
    """
    norm = torch.linalg.vector_norm(pooled, dim=-1).clamp_min(1e-12)
    alike = (pooled[1:] @ pooled[:-1].transpose(1, 2)).div_(norm[:-1, None, :])
    best, cell = alike.masked_fill_(~free[:-1, None, :], -torch.inf).max(2)
    best = best / norm[1:]
    found = free & ~(clips.position == 0)[:, None]
    return functional.pad(best, (0, 0, 1, 0)).masked_fill(~found, -torch.inf), functional.pad(cell, (0, 0, 1, 0))


def ranks_in_segments(similarity: Tensor, clips: Clips) -> tuple[Tensor, Tensor]:
    """Place of each value (F, N) among those of its segment, 0 for the largest, and the values sorted so, (F*N,).

    The sorted values of a segment begin at its first frame's place, F*N of them in all.
    """
    flat = similarity.flatten()
    segment = clips.first[:, None].expand_as(similarity).flatten()
    order = order_within(segment, flat)
    return inverse(order).view_as(similarity) - clips.first[:, None] * similarity.shape[1], flat[order]

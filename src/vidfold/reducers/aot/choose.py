"""What `AOT` chooses: the candidates of a frame, the support of a clip, and how clips share the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.ops import cover as coverage
from vidfold.ops.ranks import descending_rank, local_and_global, window_ids
from vidfold.reducers.aot.clips import Clips
from vidfold.tokens import VideoTokens

if TYPE_CHECKING:
    from vidfold.reducers.aot.method import AOT
    from vidfold.reducers.aot.phases import Candidates

_WINDOWS = 3
_LEAST = 1e-6


def saliency(tokens: VideoTokens, frames: slice) -> Tensor:
    """Received attention (f, N) of some frames, its mean about 1: half deep over its mean in the frame, half shallow
    over its mean in the window (AOT's global and local anchors as one number)."""
    shallow, deep = _attention(tokens, frames)
    window = functional.one_hot(window_ids(tokens.language_grid, _WINDOWS, shallow.device), _WINDOWS**2).float()
    local = (shallow @ window / window.sum(0).clamp_min(1)) @ window.T
    return (deep / deep.mean(1, keepdim=True).clamp_min(1e-9) + shallow / local.clamp_min(1e-9)) / 2


def candidates(
    method: AOT, tokens: VideoTokens, frames: slice, cost: Tensor, salient: Tensor | None, count: int
) -> Tensor:
    """The ``count`` candidates of some frames, (f, count) int64 ascending, from costs (f, N, N)."""
    if method.anchors == "attention":
        total = torch.full((len(cost),), count, device=cost.device)
        mask = local_and_global(*_attention(tokens, frames), tokens.language_grid, total // 2, total, _WINDOWS)
        return mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]
    weight = torch.ones_like(cost[:, 0]) if salient is None else salient.clamp_min(_LEAST) ** method.attention_power
    order, _ = coverage.farthest(cost, weight, torch.ones_like(weight, dtype=torch.bool), count)
    return order.sort(1).values


def support(
    method: AOT, found: Candidates, clips: Clips, part: slice, cost: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Up to ``most`` rows of each of some clips, best first, from the costs (c, n, n) of their candidates.

    Returns:
        The rows (c, most) int64, what each gains (c, most) float32, and the costs (c, n, most) of all rows to them.
    """
    count = found.cells.shape[1]
    present = clips.present(count)[part]
    salient = None if found.salient is None else clips.rows(found.salient, part)
    apart = cost
    if method.time_cost:
        time = torch.arange(clips.longest, device=cost.device).repeat_interleave(count)
        apart = apart + method.time_cost / clips.longest * (time[:, None] - time).abs()
    weight = clips.rows(found.mass, part)
    if salient is not None and method.attention_power:
        weight = weight * salient.clamp_min(_LEAST) ** method.attention_power
    if method.support == "attention":
        assert salient is not None
        gain, order = salient.masked_fill(~present, -torch.inf).topk(most, 1)
    elif method.support == "facility":
        order, gain = coverage.facility(apart**method.power, weight, present, most)
    else:
        order, gain = coverage.farthest(apart, weight, present, most)
    return order, gain, cost.gather(2, order[:, None, :].expand(-1, cost.shape[1], -1))


def taken(method: AOT, gain: Tensor, clips: Clips) -> tuple[Tensor, Tensor]:
    """Which of the rows (C, most) chosen for every clip are kept, bool, and which of these are emitted twice."""
    twice = clips.share - clips.unique
    if method.share == "equal":
        place = torch.arange(gain.shape[1], device=gain.device)
        return place < clips.unique[:, None], place < twice[:, None]
    rank = descending_rank(gain.flatten()).view_as(gain)
    return rank < clips.unique.sum(), rank < twice.sum()


def _attention(tokens: VideoTokens, frames: slice) -> tuple[Tensor, Tensor]:
    """Shallow and deep attention (f, N) on the language grid."""
    assert tokens.shallow is not None
    assert tokens.deep is not None
    return tokens.pool(tokens.shallow[frames].float()), tokens.pool(tokens.deep[frames].float())

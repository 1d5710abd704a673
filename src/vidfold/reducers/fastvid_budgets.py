"""How FastVID divides its budget over segments, frames and roles: exactly, and as the authors' programs do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.ops.shares import host_bound

Program = Literal[False, "ov", "lv", "qwen"]
"""False, or one of the authors' programs."""


@dataclass(frozen=True, eq=False)
class Quota:
    """What each frame may keep.

    Attributes:
        salient: (F,) int64, salient tokens.
        anchors: (F,) int64, anchors; 0 in frames that are not anchor frames.
        most: an upper bound of them that the host knows.
        sources: (F, Q) int64, anchor frames of the segment that each frame lies in, the last one first; F beyond.
    """

    salient: Tensor
    anchors: Tensor
    most: int
    sources: Tensor


def exact_quota(clips: Clips, total: int, cells: int, context: float, stride: int) -> Quota:
    """Share K tokens over the segments by their frames, and within each as the authors do for LLaVA-Video.

    Args:
        clips: the segments.
        total: K.
        cells: N, tokens a frame; no frame gets more.
        context: d, share of the anchors.
        stride: p, frames from one anchor frame to the next.
    """
    frames, length = clips.frames, clips.length
    share = clips.shares(total)[clips.clip_of]
    sites = -(-length // stride)
    anchors = (share.double() * context).floor().long()
    overflow = -(-(share - anchors) // length) + -(-anchors // sites) > cells
    # With as many anchors in each anchor frame, c / sites + (share - c) / length <= N can be solved for c.
    room = torch.where(length > sites, (length * cells - share) // (length - sites).clamp_min(1), cells)
    anchors = torch.where(overflow, sites * torch.minimum(anchors // sites, room), anchors)
    most = min(cells, math.floor(context * (stride * total / frames + 1)) + 1)
    return _spread(clips, length > 0, share - anchors, anchors, stride, most)


def original_quota(
    clips: Clips,
    repeated: Tensor,
    per_frame: int,
    cells: int,
    context: float,
    stride: int,
    program: Program,
) -> Quota:
    """The authors' own budgets.

    Args:
        clips: the segments.
        repeated: (F,) bool, frames that get nothing because the next frame of the segment is almost equal.
        per_frame: n, tokens a frame.
        cells: N.
        context: d.
        stride: p.
        program: which of the three.
    """
    length = clips.length
    if program == "ov":
        anchors, sites = int(per_frame * context), -(-length // stride)
        each = length * (per_frame - anchors)
        return _spread(clips, ~repeated, each, sites * (anchors * length // sites), stride, cells)
    share = per_frame * length
    total = (share.double() * context).floor().long()
    if program == "lv":
        return _spread(clips, ~repeated, share - total, total, stride, cells)
    total = total.clamp_min(1)
    quota = _spread(clips, ~repeated, share - total, total, stride, cells)
    single = length == 1
    capped = torch.where(single, quota.anchors, quota.anchors.clamp_max(cells // 2))
    salient = torch.where(single, quota.salient, torch.minimum(quota.salient, cells - capped))
    return Quota(salient, capped, cells, quota.sources)


def _spread(clips: Clips, receives: Tensor, salient: Tensor, anchors: Tensor, stride: int, most: int) -> Quota:
    """Share each segment's salient tokens and anchors over those of its frames that receive any.

    Args:
        clips: the segments.
        receives: (F,) bool, at least one frame of every segment.
        salient: (F,) int64, salient tokens of the segment that the frame lies in; the first frames get one more.
        anchors: (F,) int64, its anchors; the last anchor frames get one more.
        stride: p.
        most: an upper bound of a frame's anchors.
    """
    frames = len(receives)
    one = receives.long()
    before = one.cumsum(0) - one
    place = before - before[clips.first]
    users = torch.zeros_like(one).scatter_add_(0, clips.first, one)[clips.first]
    sites = -(-users // stride)
    from_last = users - 1 - place
    is_site = receives & (from_last % stride == 0)
    order = from_last // stride
    quota_salient = torch.where(receives, salient // users + (place < salient % users), 0)
    quota_anchors = torch.where(is_site, anchors // sites + (order < anchors % sites), 0)

    width = host_bound(sites, -(-frames // stride))
    table = torch.full((frames, width + 1), frames, device=one.device)
    frame = torch.arange(frames, device=one.device)
    table[clips.first, torch.where(is_site, order, width)] = frame
    return Quota(quota_salient, quota_anchors, most, table[clips.first, :width])

"""How FastVID divides its budget over segments, frames and roles: exactly, and as the authors' programs do."""

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


@dataclass(frozen=True, eq=False)
class Budget:
    """How the tokens of a video are divided.

    Attributes:
        clips: the segments.
        cells: N, tokens a frame; no frame gets more.
        context: d, share of the anchors.
        stride: p, frames from one anchor frame to the next.
    """

    clips: Clips
    cells: int
    context: float
    stride: int

    def exact(self, total: int) -> Quota:
        """Share K tokens over the segments by their frames, and within each as the authors do for LLaVA-Video."""
        frames, length = self.clips.frames, self.clips.length
        share = self.clips.shares(total)[self.clips.clip_of]
        sites = -(-length // self.stride)
        anchors = (share.double() * self.context).floor().long()
        overflow = -(-(share - anchors) // length) + -(-anchors // sites) > self.cells
        # With as many anchors in each anchor frame, c / sites + (share - c) / length <= N can be solved for c.
        room = torch.where(length > sites, (length * self.cells - share) // (length - sites).clamp_min(1), self.cells)
        anchors = torch.where(overflow, sites * torch.minimum(anchors // sites, room), anchors)
        most = min(self.cells, math.floor(self.context * (self.stride * total / frames + 1)) + 1)
        return self._spread(length > 0, share - anchors, anchors, most)

    def original(self, program: Program, per_frame: int, repeated: Tensor) -> Quota:
        """What one of the authors' programs divides.

        Args:
            program: which one.
            per_frame: n, tokens a frame.
            repeated: (F,) bool, frames that get nothing because the next frame of the segment is almost equal.
        """
        length, cells = self.clips.length, self.cells
        if program == "ov":
            anchors, sites = int(per_frame * self.context), -(-length // self.stride)
            each = length * (per_frame - anchors)
            return self._spread(~repeated, each, sites * (anchors * length // sites), cells)
        share = per_frame * length
        total = (share.double() * self.context).floor().long()
        if program == "lv":
            return self._spread(~repeated, share - total, total, cells)
        total = total.clamp_min(1)
        quota = self._spread(~repeated, share - total, total, cells)
        single = length == 1
        capped = torch.where(single, quota.anchors, quota.anchors.clamp_max(cells // 2))
        salient = torch.where(single, quota.salient, torch.minimum(quota.salient, cells - capped))
        return Quota(salient, capped, cells, quota.sources)

    def _spread(self, receives: Tensor, salient: Tensor, anchors: Tensor, most: int) -> Quota:
        """Share each segment's salient tokens and anchors over those of its frames that receive any.

        Args:
            receives: (F,) bool, at least one frame of every segment.
            salient: (F,) int64, salient tokens of the segment that the frame lies in; the first frames get one more.
            anchors: (F,) int64, its anchors; the last anchor frames get one more.
            most: an upper bound of a frame's anchors.
        """
        frames, first = self.clips.frames, self.clips.first
        one = receives.long()
        before = one.cumsum(0) - one
        place = before - before[first]
        users = self.clips.sums(one)
        sites = -(-users // self.stride)
        from_last = users - 1 - place
        is_site = receives & (from_last % self.stride == 0)
        order = from_last // self.stride
        quota_salient = torch.where(receives, salient // users + (place < salient % users), 0)
        quota_anchors = torch.where(is_site, anchors // sites + (order < anchors % sites), 0)

        width = host_bound(sites, -(-frames // self.stride))
        table = torch.full((frames, width + 1), frames, device=one.device)
        table[first, torch.where(is_site, order, width)] = torch.arange(frames, device=one.device)
        return Quota(quota_salient, quota_anchors, most, table[first, :width])

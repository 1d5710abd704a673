"""What stands still over a segment: its tokens of one cell, merged over time into the segment's first frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops.ranks import inverse


@dataclass(frozen=True, eq=False)
class Still:
    """The cells of every segment that are merged over time.

    Attributes:
        clips: of the video.
        static: (F, N) bool, cells that stand still over the segment of the frame; the same in all its frames.
    """

    clips: Clips
    static: Tensor

    @classmethod
    def of(cls, clips: Clips, steadiness: Tensor, threshold: float, most: int | None = None) -> Still:
        """Cells of segments of more than one frame that are steadier than a threshold.

        Args:
            clips: of the video.
            steadiness: (F, N), of the segment that each frame lies in.
            threshold: cells above stand still.
            most: tokens that merging may save at most; the steadiest cells come first. None: any number.
        """
        static = (steadiness > threshold) & ((clips.position == 0) & (clips.length > 1))[:, None]
        if most is not None:
            by_steadiness = torch.where(static, steadiness, -torch.inf).flatten().argsort(descending=True, stable=True)
            saved = torch.where(static, clips.length[:, None] - 1, 0).flatten()
            affordable = (saved[by_steadiness].cumsum(0) <= most)[inverse(by_steadiness)]
            static = static & affordable.view_as(static)
        return cls(clips, static[clips.first])

    @property
    def lead(self) -> Tensor:
        """(F, N) bool, static cells of the first frame of each segment: where the merged tokens stand."""
        return self.static & (self.clips.position == 0)[:, None]

    def merge(self) -> Mix:
        """Static tokens become their mean over the segment; the others stay."""
        frames, cells = self.static.shape
        index = torch.arange(frames * cells, device=self.static.device).view(frames, cells)
        target = torch.where(self.static, index[self.clips.first], index)
        share = torch.where(self.static, 1 / self.clips.length[:, None].float(), 1.0)
        return Mix(target.flatten(), share.flatten(), frames * cells, frames * cells)

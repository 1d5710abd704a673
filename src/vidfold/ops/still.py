"""What stands still over a segment: its tokens of one cell, merged over time into the segment's first frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Segments
from vidfold.ops.merging import Merge
from vidfold.ops.shares import host_bound


@dataclass(frozen=True, eq=False)
class Spans:
    """The segment of every frame.

    Attributes:
        index: (F,) int64, number of the segment that the frame lies in.
        first: (F,) int64, its first frame.
        length: (F,) int64, its frames.
        most: an upper bound of the number of segments that the host knows.
    """

    index: Tensor
    first: Tensor
    length: Tensor
    most: int

    @classmethod
    def of(cls, cut: Segments, frames: int) -> Spans:
        """The segments of a video of F frames."""
        index = torch.searchsorted(cut.starts, torch.arange(frames, device=cut.starts.device), right=True) - 1
        return cls(index, cut.starts[index], cut.lengths[index], host_bound(index + 1, frames))

    @property
    def leads(self) -> Tensor:
        """(F,) bool, whether the frame is the first of its segment."""
        return self.first == torch.arange(len(self.first), device=self.first.device)


@dataclass(frozen=True, eq=False)
class Still:
    """The cells of every segment that are merged over time.

    Attributes:
        spans: the segments.
        static: (F, N) bool, cells that stand still over the segment of the frame; the same in all its frames.
    """

    spans: Spans
    static: Tensor

    @classmethod
    def of(cls, spans: Spans, steadiness: Tensor, threshold: float, most: int | None = None) -> Still:
        """Cells of segments of more than one frame that are steadier than a threshold.

        Args:
            spans: the segments.
            steadiness: (F, N), of the segment that each frame lies in.
            threshold: cells above stand still.
            most: tokens that merging may save at most; the steadiest cells come first. None: any number.
        """
        static = (steadiness > threshold) & (spans.leads & (spans.length > 1))[:, None]
        if most is not None:
            by_steadiness = torch.where(static, steadiness, -torch.inf).flatten().argsort(descending=True, stable=True)
            saved = torch.where(static, spans.length[:, None] - 1, 0).flatten()
            affordable = torch.empty_like(static.flatten())
            affordable[by_steadiness] = saved[by_steadiness].cumsum(0) <= most
            static = static & affordable.view_as(static)
        return cls(spans, static[spans.first])

    @property
    def lead(self) -> Tensor:
        """(F, N) bool, static cells of the first frame of each segment: where the merged tokens stand."""
        return self.static & self.spans.leads[:, None]

    def merge(self) -> Merge:
        """Static tokens become their mean over the segment; the others stay."""
        frames, cells = self.static.shape
        index = torch.arange(frames * cells, device=self.static.device).view(frames, cells)
        target = torch.where(self.static, index[self.spans.first], index)
        share = torch.where(self.static, 1 / self.spans.length[:, None].float(), 1.0)
        return Merge(target.flatten(), share.flatten())

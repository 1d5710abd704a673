"""How a video falls into clips that `AOT` folds side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Segments


@dataclass(frozen=True, eq=False)
class Clips:
    """C clips of at most L frames, padded to L.

    Attributes:
        frames: (C, L) int64, the frames of each clip, padded with others.
        there: (C, L) bool, which are not padding.
        starts: (C,) int64, first frame of each clip.
        clip_of: (F,) int64, the clip of each frame.
        position: (F,) int64, its place in the clip.
        share: (C,) int64, the tokens each clip gets where all get alike; the sum is K.
        unique: (C,) int64, how many different ones are chosen: all, or half where each is emitted twice.
        most: an upper bound of ``unique`` that the host knows without asking the device.
    """

    frames: Tensor
    there: Tensor
    starts: Tensor
    clip_of: Tensor
    position: Tensor
    share: Tensor
    unique: Tensor
    most: int

    @classmethod
    def of(cls, cut: Segments, frames: int, total: int, copies: int = 1) -> Clips:
        """Divide K tokens, each emitted ``copies`` times, among the clips of a video in proportion to their frames."""
        starts, lengths, longest = cut.starts, cut.lengths, cut.longest
        if len(starts) * longest > 2 * (frames + longest):
            # Where the content decides, padding for all that could be would cost more than asking the device once.
            there = lengths > 0
            starts, lengths = starts[there], lengths[there]
            longest = int(lengths.max())
        clip_of = Segments(starts, lengths, longest).clip_of(frames)
        offset = torch.arange(longest, device=starts.device)
        share = total * (starts + lengths) // frames - total * starts // frames
        return cls(
            frames=(starts[:, None] + offset).clamp_max(frames - 1),
            there=offset < lengths[:, None],
            starts=starts,
            clip_of=clip_of,
            position=torch.arange(frames, device=starts.device) - starts[clip_of],
            share=share,
            unique=-(-share // copies),
            most=-(-(total * longest // frames + 1) // copies),
        )

    @property
    def longest(self) -> int:
        """L."""
        return self.frames.shape[1]

    def rows(self, values: Tensor, part: slice = slice(None)) -> Tensor:
        """Rows of each frame (F, m, ...) as rows of each clip (C, L * m, ...), for some of the clips."""
        frames = self.frames[part]
        picked = values.index_select(0, frames.flatten())
        return picked.view(len(frames), self.longest * values.shape[1], *values.shape[2:])

    def present(self, count: int) -> Tensor:
        """Which of ``count`` rows a frame are not padding, (C, L * count) bool."""
        return self.there[:, :, None].expand(-1, -1, count).flatten(1)

    def mean(self, values: Tensor) -> Tensor:
        """Means (C, D) over the frames of each clip of values (F, D)."""
        picked = values[self.frames] * self.there[:, :, None]
        return picked.sum(1) / self.there.sum(1, keepdim=True)

"""How a video falls into clips that `AOT` folds side by side."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidfold.clips import Clips as Cut


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
    def of(cls, cut: Cut, frames: int, total: int, copies: int = 1) -> Clips:
        """Divide K tokens, each emitted ``copies`` times, among the clips of a video in proportion to their frames."""
        cut = cut.compact()
        share = cut.shares(total)
        return cls(
            frames=cut.members,
            there=cut.there,
            starts=cut.starts,
            clip_of=cut.clip_of,
            position=cut.position,
            share=share,
            unique=-(-share // copies),
            most=-(-(total * cut.longest // frames + 1) // copies),
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

"""Static cells: over a clip their tokens hardly change, so they are merged into the clip's first frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops.ranks import inverse


@dataclass(frozen=True, eq=False)
class Still:
    """The cells of every clip that are merged over time.

    Attributes:
        clips: of the video.
        static: (F, N) bool, static cells of the clip that the frame lies in; the same in all its frames.
    """

    clips: Clips
    static: Tensor

    @classmethod
    def of(cls, clips: Clips, steadiness: Tensor, threshold: float, most: int | None = None) -> "Still":
        """Cells of clips of more than one frame whose steadiness is above a threshold.

        Args:
            clips: of the video.
            steadiness: (F, N), how alike the tokens of a cell are over the clip that each frame lies in.
            threshold: cells above it are static.
            most: largest number of tokens that merging may save; the steadiest cells come first. None: any number.
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
        """(F, N) bool, static cells of the first frame of each clip, on which the merged tokens stand."""
        return self.static & (self.clips.position == 0)[:, None]

    def merge(self) -> Mix:
        """Static tokens become their mean over the clip; the others stay."""
        frames, cells = self.static.shape
        index = torch.arange(frames * cells, device=self.static.device).view(frames, cells)
        target = torch.where(self.static, index[self.clips.first], index)
        share = torch.where(self.static, 1 / self.clips.length[:, None].float(), 1.0)
        return Mix(target.flatten(), share.flatten(), frames * cells, frames * cells)

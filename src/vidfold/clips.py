"""The values of temporal segmentation: clips of a video, and what cuts it into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vidfold.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Segments:
    """Consecutive clips that cover a video.

    Attributes:
        starts: (C,) int64, first frame of each clip, ascending; F where there is no clip.
        lengths: (C,) int64, frames of each clip; 0 where there is no clip, so that C need not depend on the content.
        longest: an upper bound of the lengths that the host knows without asking the device.
    """

    starts: Tensor
    lengths: Tensor
    longest: int

    def clip_of(self, frames: int) -> Tensor:
        """The clip (F,) int64 that each of the video's F frames lies in."""
        index = torch.arange(frames, device=self.starts.device)
        return torch.searchsorted(self.starts, index, right=True) - 1


class Segmenter(Protocol):
    """What cuts a video into clips; a frozen dataclass, so that a method that holds one can be compared and printed."""

    def __call__(self, tokens: VideoTokens, /) -> Segments:
        """Cut a video."""

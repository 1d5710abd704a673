"""Where the tokens and the anchors of each clip are: as numbers of the host, and inside of kernels."""

# Triton's language has no types that a checker could follow.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001, ANN201

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

SCAN = tl.constexpr(1024)
"""Tokens or anchors at which a program looks at a time."""

NUMBERS = ["total", "frames", "cells", "tiles", "most"]
"""Arguments that differ from video to video; a kernel is not compiled anew for each."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The C clips of a video as ranges of its F * N tokens and of its K anchors; see `vidfold.clips.Clips`.

    Attributes:
        starts: (C,) int64, first frame of each clip.
        lengths: (C,) int64, frames of each clip.
        frames: F.
        cells: tokens a frame, N.
        total: K, divided among the clips in proportion to their frames.
        longest: an upper bound of the lengths.
    """

    starts: Tensor
    lengths: Tensor
    frames: int
    cells: int
    total: int
    longest: int

    @property
    def clips(self) -> int:
        """C."""
        return len(self.starts)

    @property
    def size(self) -> int:
        """The most tokens of a clip."""
        return self.longest * self.cells

    @property
    def most(self) -> int:
        """An upper bound of the anchors of a clip."""
        return min(self.size, self.total * self.longest // self.frames + 1)

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What `of_clip` reads."""
        return self.starts, self.lengths, self.total, self.frames, self.cells


@triton.jit
def of_clip(clip, starts, lengths, total, frames, cells):
    """First token of a clip, number of its tokens, its first anchor, and number of its anchors."""
    start = tl.load(starts + clip)
    length = tl.load(lengths + clip)
    anchor = total * start // frames
    count = total * (start + length) // frames - anchor
    return start * cells, (length * cells).to(tl.int32), anchor, count.to(tl.int32)


@triton.jit
def own_tokens(labels, first, start, size, anchor):
    """Mask of the tokens of a clip, from ``start`` on, that have an anchor, and the places they have in the clip."""
    token = start + tl.arange(0, SCAN)
    label = tl.load(labels + first + token, token < size, -1)
    return label == anchor, token

"""Marks of folded tokens: extra columns beside the features that say which share of each source went into a token."""

from __future__ import annotations

import torch
from torch import Tensor

from vidfold.linear import Mix


def spread(marks: Tensor, position: Tensor, longest: int) -> Tensor:
    """Move each frame's marks (F, n, S) to its position (F,) in the clip: (F, n, longest * S)."""
    frames, rows, sources = marks.shape
    columns = position[:, None] * sources + torch.arange(sources, device=marks.device)
    target = marks.new_zeros(frames, rows, longest * sources)
    return target.scatter_(2, columns[:, None, :].expand(frames, rows, sources), marks)


def matrix_of(marks: Tensor, starts: Tensor, sources: int, frames: int, *, newline: bool = False) -> Tensor:
    """The matrix of a fold; waits for the device.

    Args:
        marks: (K, longest * S) of each folded token, relative to the first frame of its clip.
        starts: (K,) int64, that first frame.
        sources: S, marked sources a frame.
        frames: F.
        newline: whether the last source of each frame is the newline, one and the same in all.

    Returns:
        sparse (K, F*S), or (K, F*(S-1) + 1) with the newline last.
    """
    rows, columns = marks.nonzero(as_tuple=True)
    frame, source = starts[rows] + columns // sources, columns % sources
    own = sources - newline
    source = torch.where(source < own, frame * own + source, frames * own)
    return Mix(rows, marks[rows, columns], frames * own + newline, len(marks), source).matrix()

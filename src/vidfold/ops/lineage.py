"""Which source went into which folded token: its shares ride along with the features through every merge."""

from __future__ import annotations

import torch
from torch import Tensor


def spread(marks: Tensor, position: Tensor, longest: int) -> Tensor:
    """Move each frame's marks (F, n, S) to its position (F,) in the clip: (F, n, longest * S)."""
    frames, rows, sources = marks.shape
    columns = position[:, None] * sources + torch.arange(sources, device=marks.device)
    target = marks.new_zeros(frames, rows, longest * sources)
    return target.scatter_(2, columns[:, None, :].expand(frames, rows, sources), marks)


def matrix(marks: Tensor, starts: Tensor, sources: int, frames: int, *, newline: bool = False) -> Tensor:
    """The matrix of a fold.

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
    target = torch.where(source < own, frame * own + source, frames * own)
    return _sparse(rows, target, marks[rows, columns], (len(marks), frames * own + newline))


def _sparse(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    indices = torch.stack([rows, columns])
    return torch.sparse_coo_tensor(indices, values, size, check_invariants=False).coalesce()

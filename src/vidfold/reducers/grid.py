"""Evenly spaced cells of every frame: the blind baseline in space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.parts.apportion import evenly
from vidfold.reducers.base import BudgetedReducer, select
from vidfold.tokens import Grid, Reduction, VideoTokens


@dataclass(frozen=True)
class UniformGrid(BudgetedReducer):
    """Keeps evenly spaced cells of every frame, whatever they show.

    K is split over the frames so that any run of them has its share to within one token; the cells of a frame are
    those of `spread_cells`.
    """

    name = "grid"
    published = "none: a baseline"
    idea = "keeps evenly spaced cells of every frame"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        frames = torch.arange(tokens.frames, device=tokens.features.device)
        index = spread_over(frames, self.count(tokens.frames, tokens.cells), tokens.language_grid)
        return select(tokens, index, weights=weights)


def spread_over(frames: Tensor, total: int, grid: Grid) -> Tensor:
    """Flat indices (total,) int64, ascending, of evenly spaced cells of the given frames (n,), equal to within one."""
    cells, device = grid[0] * grid[1], frames.device
    least, longer = divmod(total, len(frames))
    has_more = evenly(longer, len(frames), device) > 0
    # Both kinds of frames in one row each: their cells, then padding that sorts to the end.
    few, more = (spread_cells(count, grid, device) for count in (least, least + 1 if longer else least))
    few = torch.cat([few, few.new_full((len(more) - len(few),), cells)])
    chosen = torch.where(has_more[:, None], more, few)
    index = torch.where(chosen < cells, frames[:, None] * cells + chosen, torch.iinfo(torch.int64).max)
    return index.flatten().sort().values[:total]


def spread_cells(count: int, grid: Grid, device: torch.device | None = None) -> Tensor:
    """Evenly spaced cells (count,) int64 of a row-major grid, ascending.

    About sqrt(count * h / w) rows, evenly spaced, share the count to within one cell each; a row's cells are the
    middles of equal stretches.

    Args:
        count: 0 to h*w.
        grid: (h, w).
        device: of the result.
    """
    height, width = grid
    if count == 0:
        return torch.empty(0, dtype=torch.int64, device=device)
    rows = max(-(-count // width), min(height, count, round(math.sqrt(count * height / width))))
    place = torch.arange(count, device=device)
    line = ((place + 1) * rows - 1) // count
    start = line * count // rows
    length = (line + 1) * count // rows - start
    row = (2 * line + 1) * height // (2 * rows)
    column = (2 * (place - start) + 1) * width // (2 * length)
    return row * width + column

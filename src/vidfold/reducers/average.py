"""Average pooling to a coarser grid: the blind baseline that merges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.parts.grouping import group_matrix
from vidfold.reducers.base import BudgetedReducer
from vidfold.tokens import Grid, Reduction, VideoTokens


@dataclass(frozen=True)
class AveragePool(BudgetedReducer):
    """Pools every frame to the coarser grid that is nearest to the budget, and drops the surplus evenly.

    The coarser grid is the smallest with at least K tokens over all frames whose shape (height to width) is within a
    factor of two of the frame's; of equal ones the nearest in shape. Its cells are means of disjoint blocks. What is
    then more than K is left out at even distances along the whole video. A pooled token stands for the middle of its
    block.
    """

    name = "average"
    published = "none: a baseline"
    idea = "means of blocks of cells, on the coarser grid nearest to the budget"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total, device = self.count(tokens.frames, tokens.cells), tokens.features.device
        height, width = tokens.language_grid
        rows, columns = nearest_grid(-(-total // tokens.frames), tokens.language_grid)
        blocks, coarse = rows * columns, tokens.frames * rows * columns
        kept = (2 * torch.arange(total, device=device) + 1) * coarse // (2 * total)

        row = torch.arange(height, device=device) * rows // height
        column = torch.arange(width, device=device) * columns // width
        block = (row[:, None] * columns + column).flatten()
        share = torch.zeros(blocks, tokens.cells, device=device)
        share[block, torch.arange(tokens.cells, device=device)] = 1.0
        share = share / share.sum(1, keepdim=True)

        frame, block_of = kept // blocks, kept % blocks
        middle = _middle(block_of // columns, rows, height) * width + _middle(block_of % columns, columns, width)
        matrix = None
        if weights:
            place = torch.full((coarse,), -1, device=device).scatter_(0, kept, torch.arange(total, device=device))
            labels = place[(torch.arange(tokens.frames, device=device)[:, None] * blocks + block).flatten()]
            matrix = group_matrix(labels, total)
        return Reduction(
            tokens=(share @ tokens.pooled().float()).flatten(0, 1)[kept].to(tokens.features.dtype),
            frames=frame,
            cells=middle,
            grid=tokens.language_grid,
            full=tokens.frames * tokens.cells,
            weights=matrix,
        )


def nearest_grid(least: int, grid: Grid) -> Grid:
    """The smallest grid of at least ``least`` cells inside ``grid`` that keeps its shape to within a factor of two.

    Where there is none, the nearest in shape among all.
    """
    height, width = grid

    def bent(rows: int, columns: int) -> float:
        return abs(math.log(rows * width / (columns * height)))

    fits = [(rows, -(-least // rows)) for rows in range(1, height + 1) if -(-least // rows) <= width]
    return min(fits, key=lambda fit: (bent(*fit) > math.log(2) + 1e-9, fit[0] * fit[1], bent(*fit)))


def _middle(block: Tensor, blocks: int, side: int) -> Tensor:
    """The middle line of each block of a side cut into ``blocks``."""
    first, last = -(-block * side // blocks), -(-(block + 1) * side // blocks) - 1
    return (first + last) // 2

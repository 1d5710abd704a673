"""Baselines that look at no content: all tokens, random tokens, even grids in space and time, block means."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.checks import check_count, setting
from vidfold.linear import Mix
from vidfold.ops.shares import evenly
from vidfold.reducers.base import BudgetedReducer, Reducer, select
from vidfold.tokens import Grid, Reduction, VideoTokens


@dataclass(frozen=True)
class Identity(Reducer):
    """Keeps every token in its place: the model must answer as it does unfolded."""

    name = "identity"
    published = "none: the baseline"
    idea = "keeps every token"

    def count(self, frames: int, cells: int) -> int:
        """All F*N tokens."""
        return frames * cells

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """All pooled tokens in their order."""
        index = torch.arange(tokens.frames * tokens.cells, device=tokens.features.device)
        return select(tokens, index, weights=weights)


@dataclass(frozen=True)
class Random(BudgetedReducer):
    """Keeps K tokens drawn uniformly without replacement over the whole video.

    Attributes:
        seed: of its own generator: the same video keeps the same tokens, and the global generator is not changed.
    """

    seed: int = setting(0, check_count, least=0)

    name = "random"
    published = "none: the baseline"
    idea = "keeps tokens drawn at random"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        full = tokens.frames * tokens.cells
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(full, generator=generator)[: self.count(tokens.frames, tokens.cells)]
        index = drawn.sort().values.to(tokens.features.device, non_blocking=True)
        return select(tokens, index, weights=weights)


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
    """Evenly spaced cells (count,) int64 of a row-major grid (h, w), ascending; 0 <= count <= h*w.

    About sqrt(count * h / w) rows, evenly spaced, share the count to within one cell each; a row's cells are the
    middles of equal stretches.
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


@dataclass(frozen=True)
class SpacetimeGrid(BudgetedReducer):
    """Keeps evenly spaced cells of every n-th frame: fewer frames, each on a denser grid.

    Where the chosen frames hold fewer than K tokens, more frames are taken: ceil(K / N) of them, evenly spaced.

    Attributes:
        every: n. None: round(retention ** (-1/3)), which reduces time as much as height and width.
    """

    every: int | None = setting(None, check_count, optional=True)

    name = "spacetime-grid"
    published = "none: a baseline"
    idea = "keeps evenly spaced cells of every n-th frame"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        total = self.count(tokens.frames, tokens.cells)
        every = self.every or max(1, round(self.retention ** (-1 / 3)))
        kept = max(-(-tokens.frames // every), -(-total // tokens.cells))
        place = torch.arange(kept, device=tokens.features.device)
        frames = (2 * place + 1) * tokens.frames // (2 * kept)
        return select(tokens, spread_over(frames, total, tokens.language_grid), weights=weights)


@dataclass(frozen=True)
class AveragePool(BudgetedReducer):
    """Pools every frame to the coarser grid that is nearest to the budget, and drops the surplus evenly.

    The coarser grid is the smallest with at least K tokens over all frames whose shape (height to width) is within a
    factor of two of the frame's; of equal ones the nearest in shape. Its cells are means of disjoint blocks. Tokens
    beyond K are dropped at even distances along the whole video. A pooled token stands for the middle of its block.
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
        target = (torch.arange(tokens.frames, device=device)[:, None] * blocks + block).flatten()
        frame, block_of = kept // blocks, kept % blocks
        middle = _middle(block_of // columns, rows, height) * width + _middle(block_of % columns, columns, width)
        mix = Mix.means(target, coarse).keep(kept)
        return mix.reduction(tokens, tokens.pooled().float(), frame * tokens.cells + middle, weights=weights)


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

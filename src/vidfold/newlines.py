"""Newlines after the rows of a video's grid, as LLaVA-Video lays them out (Zhang et al. 2024, arXiv:2410.02713)."""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import Mix
from vidfold.tokens import Grid, Reduction


def full_rows(maps: Tensor, grid: Grid, newline: Tensor) -> Tensor:
    """All tokens of the language grid, every row ended by a newline: what a model reads when nothing is folded.

    Row-major maps (F, h*w, D) with a newline (D,) become (F, h*(w + 1), D) in the dtype of the maps.
    """
    frames, _, channels = maps.shape
    rows = maps.reshape(frames, *grid, channels)
    ends = newline.to(rows).expand(frames, grid[0], 1, channels)
    return torch.cat([rows, ends], dim=2).flatten(1, 2)


def with_newlines(reduction: Reduction, newline: Tensor, lines: Tensor | None = None) -> Reduction:
    """The reduction in reading order with a newline vector after rows of the grid.

    Args:
        reduction: of any order.
        newline: (D,).
        lines: (R,) int64, the rows that get one, ascending frame * h + row. None: all rows that keep a token, unless
            the reduction has newlines already, for which the host waits for the device once.
    """
    height, width = reduction.grid
    cells, device = height * width, newline.device
    row = reduction.frames * height + (reduction.cells // width).clamp(max=height - 1)
    if lines is None:
        keep = torch.zeros(reduction.full // width, dtype=torch.bool, device=device).index_fill(0, row, True)
        lines = (keep & (reduction.cells < cells).all()).nonzero()[:, 0]
        if not len(lines):
            return reduction
    order = torch.cat([row * 2, lines * 2 + 1]) * cells + functional.pad(reduction.cells, (0, len(lines)))
    order = order.argsort(stable=True)

    matrix = reduction.weights
    if matrix is not None:
        (rows, columns), sources = matrix.indices(), matrix.shape[1]
        mix = Mix(
            target=torch.cat([rows, len(reduction) + torch.arange(len(lines), device=device)]),
            share=torch.cat([matrix.values(), matrix.values().new_ones(len(lines))]),
            sources=sources + 1,
            rows=len(order),
            source=torch.cat([columns, torch.full_like(lines, sources)]),
        )
        matrix = mix.keep(order).matrix()
    vectors = newline.to(reduction.tokens.dtype).expand(len(lines), -1)
    return dataclasses.replace(
        reduction,
        tokens=torch.cat([reduction.tokens, vectors])[order],
        frames=torch.cat([reduction.frames, lines // height])[order],
        cells=torch.cat([reduction.cells, cells + lines % height])[order],
        weights=matrix,
    )

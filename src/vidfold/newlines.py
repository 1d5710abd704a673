"""Newlines after the rows of a video's grid, as LLaVA-Video lays them out (Zhang et al. 2024, arXiv:2410.02713)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import Mix
from vidfold.tokens import Grid, Reduction


def full_rows(maps: Tensor, grid: Grid, newline: Tensor) -> Tensor:
    """All tokens of the language grid, every row ended by a newline: what a model reads when nothing is folded.

    Args:
        maps: (F, h*w, D), row-major.
        grid: (h, w).
        newline: (D,).

    Returns:
        (F, h*(w + 1), D) in the dtype of the maps.
    """
    frames, _, channels = maps.shape
    rows = maps.reshape(frames, *grid, channels)
    ends = newline.to(rows).expand(frames, grid[0], 1, channels)
    return torch.cat([rows, ends], dim=2).flatten(1, 2)


def with_newlines(reduction: Reduction, newline: Tensor, frames: int | None = None) -> Reduction:
    """The reduction in reading order with a newline vector after every row of the grid.

    Waits for the device.

    Args:
        reduction: of any order.
        newline: (D,).
        frames: F, to end all rows of so many frames; None: only the rows that keep a token.
    """
    height, width = reduction.grid
    cells, device = height * width, newline.device
    row = reduction.frames * height + reduction.cells // width
    lines = torch.unique(row) if frames is None else torch.arange(frames * height, device=device)
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

"""Newlines after the rows of a video's grid, as LLaVA-Video lays them out (Zhang et al. 2024, arXiv:2410.02713)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

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
        column = torch.full((len(lines),), matrix.shape[1], device=device)
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=device))
        rows, columns = matrix.indices()
        entries = torch.stack(
            [
                place[torch.cat([rows, len(reduction) + torch.arange(len(lines), device=device)])],
                torch.cat([columns, column]),
            ]
        )
        values = torch.cat([matrix.values(), torch.ones(len(lines), device=device)])
        size = (len(order), matrix.shape[1] + 1)
        matrix = torch.sparse_coo_tensor(entries, values, size, check_invariants=False).coalesce()
    vectors = newline.to(reduction.tokens.dtype).expand(len(lines), -1)
    return dataclasses.replace(
        reduction,
        tokens=torch.cat([reduction.tokens, vectors])[order],
        frames=torch.cat([reduction.frames, lines // height])[order],
        cells=torch.cat([reduction.cells, cells + lines % height])[order],
        weights=matrix,
    )

"""Qwen2.5-VL (Bai et al. 2025, arXiv:2502.13923) as transformers loads it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from vidfold.models.base import Inputs
from vidfold.models.partial.tower import Tower
from vidfold.models.qwen_vl import QwenVL, Shape


@dataclass(frozen=True, eq=False)
class Qwen2_5VL(QwenVL):
    """Most layers of the tower attend within windows, for which cells are reordered; see `QwenVL`."""

    model_type: ClassVar[str] = "qwen2_5_vl"
    gives: ClassVar[frozenset[str]] = QwenVL.gives | {"timestamps"}
    saliency: ClassVar[str] = "mean, full layers only"

    def _full_layers(self) -> list[int]:
        return sorted(self.model.config.vision_config.fullatt_block_indexes)

    @property
    def _window(self) -> int:
        """Cells along a side of a window."""
        vision = self.model.config.vision_config
        return int(vision.window_size // self._merge // vision.patch_size)

    def _order(self, grid: tuple[int, int]) -> Tensor:
        return window_places(grid, self._window)

    def tower(self, inputs: Inputs) -> Tower:
        """Cells come window by window; in most layers a window sees itself alone."""
        tower, full = super().tower(inputs), self._full_layers()
        grids = [(rows, columns) for _, rows, columns in self._shapes(inputs, "pixel_values_videos", "video_grid_thw")]
        return replace(
            tower,
            orders=[self._order(grid).argsort() for grid in grids],
            windows=[windows_of(grid, self._window).flatten().bincount() for grid in grids],
            windowed=frozenset(range(len(tower.layers))) - set(full),
        )

    def _timestamps(self, inputs: Inputs, needs: frozenset[str], shapes: Sequence[Shape]) -> list[Tensor | None]:
        seconds = inputs.get("second_per_grid_ts")
        if "timestamps" not in needs or seconds is None:
            return [None] * len(shapes)
        if len(seconds) != len(shapes):
            raise ValueError(f"second_per_grid_ts holds {len(seconds)} intervals, but there are {len(shapes)} videos")
        device = inputs["pixel_values_videos"].device
        intervals = torch.as_tensor(seconds, dtype=torch.float32, device=device)
        return [
            torch.arange(t, device=device) * interval for (t, _, _), interval in zip(shapes, intervals, strict=True)
        ]


def windows_of(grid: tuple[int, int], side: int) -> Tensor:
    """The window 0... that each cell of a grid lies in, (h, w) int64.

    A window has ``side`` x ``side`` cells; those at the right and lower edges may be smaller.
    """
    rows, columns = (torch.arange(length) // side for length in grid)
    return rows[:, None] * (int(columns[-1]) + 1) + columns


def window_places(grid: tuple[int, int], side: int) -> Tensor:
    """Where cells 0... of a grid (h, w) are when they are ordered window by window, row-major in both, (h*w,) int64."""
    return windows_of(grid, side).flatten().argsort(stable=True).argsort()

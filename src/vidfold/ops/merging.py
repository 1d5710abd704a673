"""Merges on the language grid: every token goes into at most one other, and what is left stands on cells of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True, eq=False)
class Merge:
    """One linear step over M rows: row i adds ``share[i]`` of itself to row ``target[i]``.

    Attributes:
        target: (M,) int64; M where the row is dropped.
        share: (M,) float32.
    """

    target: Tensor
    share: Tensor

    @classmethod
    def means(cls, target: Tensor) -> Merge:
        """Every row becomes the plain mean of the rows that go into it."""
        return cls(target, 1 / occurrences(target, len(target) + 1)[target])

    @classmethod
    def blends(cls, target: Tensor, own: float) -> Merge:
        """A row that stays becomes own * itself + (1 - own) * mean of the others that go into it, if there are any.

        Args:
            target: (M,) int64; a row that stays is its own target.
            own: weight of itself, in [0, 1].
        """
        stays = target == torch.arange(len(target), device=target.device)
        others = occurrences(target, len(target) + 1)[target] - 1
        alone = torch.where(others == 0, 1.0, own)
        return cls(target, torch.where(stays, alone, (1 - own) / others.clamp_min(1)))

    def __call__(self, values: Tensor) -> Tensor:
        """Rows (M, D) after the step, of (M, D); those that nothing goes into are 0."""
        return self.rows(values, torch.arange(len(self.target), device=self.target.device))

    def rows(self, values: Tensor, index: Tensor) -> Tensor:
        """Rows ``index`` (K,), no two alike, after the step: (K, D)."""
        source = torch.arange(len(self.target), device=self.target.device)
        place = _places(index, len(self.target))[self.target]
        return weighted_sums(values, source, place, self.share, len(index) + 1)[:-1]

    def then(self, after: Merge) -> Merge:
        """This step and another one after it, as one."""
        share = functional.pad(after.share, (0, 1))[self.target]
        return Merge(functional.pad(after.target, (0, 1), value=len(after.target))[self.target], self.share * share)


def weighted_sums(values: Tensor, source: Tensor, target: Tensor, share: Tensor, rows: int) -> Tensor:
    """Sums of share * value by target; the same on every run, on every device.

    Args:
        values: (M, D) float32.
        source: (E,) int64, row of the values.
        target: (E,) int64, row of the result.
        share: (E,) float32.
        rows: of the result.

    Returns:
        (rows, D).
    """
    if values.device.type == "cpu":  # the fastest there; on a GPU it would add in any order
        sums: Tensor = torch.sparse.mm(_sparse(target, source, share, (rows, len(values))), values)
        return sums
    return sum_rows(share[:, None] * values[source], target, rows)


def sum_rows(values: Tensor, target: Tensor, rows: int) -> Tensor:
    """Sums (rows, D) of the values (M, D) that go to each row ``target`` (M,); the same on every run."""
    sums = values.new_zeros(rows, values.shape[1])
    if values.device.type == "cpu":
        return sums.index_add_(0, target, values)
    return sums.index_put_((target,), values, accumulate=True)  # index_add_ would add in any order


def occurrences(target: Tensor, rows: int) -> Tensor:
    """How often each of the rows occurs in ``target`` (E,): (rows,) int64."""
    return torch.zeros(rows, dtype=torch.int64, device=target.device).scatter_add_(0, target, torch.ones_like(target))


def reading_order(kept: Tensor, total: int | None) -> Tensor:
    """Flat indices (K,) of the kept cells (F, N) bool, in order of time, then raster.

    Args:
        kept: exactly K of them.
        total: K; None: count them, which waits for the device.
    """
    if total is None:
        total = int(kept.sum())
    return kept.flatten().to(torch.int8).argsort(descending=True, stable=True)[:total]


def fold_merged(tokens: VideoTokens, pooled: Tensor, merge: Merge, index: Tensor, *, weights: bool) -> Reduction:
    """The reduction to the cells ``index`` (K,) after a merge of pooled tokens (F, N, D) float32; see `fold_edges`."""
    source = torch.arange(len(merge.target), device=index.device)
    return fold_edges(tokens, pooled, source, merge.target, merge.share, index, weights=weights)


def fold_edges(
    tokens: VideoTokens, pooled: Tensor, source: Tensor, target: Tensor, share: Tensor, index: Tensor, *, weights: bool
) -> Reduction:
    """The reduction in which token ``source`` adds ``share`` of itself to the one that stands on cell ``target``.

    Args:
        tokens: the video.
        pooled: (F, N, D) float32, its tokens.
        source: (E,) int64, flat index f*N + cell.
        target: (E,) int64, likewise; F*N for none. Targets that are not in ``index`` are left out.
        share: (E,) float32.
        index: (K,) int64, the cells that tokens are left on, in the order of the result.
        weights: also give the (K, F*N) matrix.
    """
    full, count = tokens.frames * tokens.cells, len(index)
    row = _places(index, full)[target]
    matrix = None
    if weights:
        live = (row < count) & (share != 0)
        matrix = _sparse(row[live], source[live], share[live], (count, full)).coalesce()
    return Reduction(
        tokens=weighted_sums(pooled.flatten(0, 1), source, row, share, count + 1)[:-1].to(tokens.features.dtype),
        frames=index // tokens.cells,
        cells=index % tokens.cells,
        grid=tokens.language_grid,
        full=full,
        weights=matrix,
    )


def _places(index: Tensor, rows: int) -> Tensor:
    """Where each of the rows, and what is dropped, comes in ``index`` (K,): (rows + 1,) int64, K for nowhere."""
    count = len(index)
    return index.new_full((rows + 1,), count).scatter_(0, index, torch.arange(count, device=index.device))


def _sparse(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, size, check_invariants=False)

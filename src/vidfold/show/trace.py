"""Where the cells of a video went: one fold as plain arrays, which pages and pictures draw."""

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Grid = tuple[int, int]
Numbers = NDArray[np.int64]


class Role(enum.IntEnum):
    """What a fold did with a cell."""

    DROPPED = 0
    """No token has a part of it."""
    TOKEN = 1
    """A token stands here."""
    SAME_FRAME = 2
    """It went into a token of its own frame."""
    EARLIER = 3
    """It went into a token of an earlier frame."""
    LATER = 4
    """It went into a token of a later frame."""
    UNKNOWN = 5
    """No token stands here, and the fold has no weights that say where it went."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One fold of F frames of N = h * w cells to K tokens, newlines left out.

    A cell is counted through the video: frame * N + its row-major place.

    Attributes:
        frames: F.
        grid: (h, w), the grid that the language model reads.
        places: (K,) int64, the cell that each token stands for.
        source: (E,) int64, a cell that went into a token, ascending.
        token: (E,) int64, the number of that token.
        share: (E,) float32, how much of the token this cell is; the shares of a token sum to 1.
        known: whether the fold says where cells went; else there are no edges.
    """

    frames: int
    grid: Grid
    places: Numbers
    source: Numbers
    token: Numbers
    share: NDArray[np.float32]
    known: bool

    @classmethod
    def of(
        cls,
        frames: Tensor,
        cells: Tensor,
        grid: Grid,
        full: int,
        weights: Tensor | None = None,
        patches: Grid | None = None,
    ) -> "Trace":
        """The trace of a reduction's fields; see `vidfold.Reduction`.

        Args:
            frames: (K,) int64.
            cells: (K,) int64; those from N on are newlines.
            grid: (h, w).
            full: F * N.
            weights: sparse (K, S), or None where it is not known where cells went.
            patches: (H, W), the encoder grid. Weights of encoder tokens are summed to the cells in which these lie.
                None: weights of encoder tokens count as not known.
        """
        count = grid[0] * grid[1]
        tokens = cells < count
        places = (frames * count + cells)[tokens].cpu().numpy()
        empty = np.empty(0, np.int64)
        bare = cls(full // count, grid, places, empty, empty, np.empty(0, np.float32), known=False)
        if weights is None:
            return bare
        edges = weights.detach().cpu().coalesce()
        row, column = edges.indices().numpy()
        share = edges.values().float().numpy()
        cell = _cells_of(edges.shape[1], bare.frames, grid, patches)
        if cell is None:
            return bare
        number = np.cumsum(tokens.cpu().numpy()) - 1
        wanted = tokens.cpu().numpy()[row] & (column < len(cell)) & (share != 0)
        source, token = cell[column[wanted]], number[row[wanted]]
        pairs, inverse = np.unique(source * len(places) + token, return_inverse=True)
        sums = np.bincount(inverse, share[wanted], len(pairs)).astype(np.float32)
        return cls(bare.frames, grid, places, *np.divmod(pairs, max(1, len(places))), sums, known=True)

    @property
    def cells(self) -> int:
        """Cells a frame, N."""
        return self.grid[0] * self.grid[1]

    @property
    def full(self) -> int:
        """Cells of the video, F * N."""
        return self.frames * self.cells

    @property
    def counts(self) -> Numbers:
        """Tokens that stand in each frame, (F,) int64."""
        return np.bincount(self.places // self.cells, minlength=self.frames)

    @cached_property
    def main(self) -> Numbers:
        """The token that has most of each cell, (F * N,) int64; -1 where none has any."""
        found = np.full(self.full, -1)
        rising = np.argsort(self.share, kind="stable")
        found[self.source[rising]] = self.token[rising]
        return found

    @cached_property
    def roles(self) -> NDArray[np.uint8]:
        """The `Role` of each cell, (F * N,) uint8."""
        if not self.known:
            roles = np.full(self.full, Role.UNKNOWN, np.uint8)
        else:
            own = np.arange(self.full) // self.cells
            away = np.sign(self.places[self.main] // self.cells - own) if len(self.places) else np.zeros_like(own)
            roles = np.choose(away + 1, [Role.EARLIER, Role.SAME_FRAME, Role.LATER]).astype(np.uint8)
            roles[self.main < 0] = Role.DROPPED
        roles[self.places] = Role.TOKEN
        return roles

    def largest(self, edges: int) -> "Trace":
        """The same fold with its ``edges`` largest shares alone; the roles are as they were."""
        if len(self.share) <= edges:
            return self
        kept = np.sort(np.argpartition(self.share, -edges)[-edges:])
        parts = self.source[kept], self.token[kept], self.share[kept]
        found = Trace(self.frames, self.grid, self.places, *parts, known=True)
        found.__dict__["roles"] = self.roles
        return found


def _cells_of(sources: int, frames: int, grid: Grid, patches: Grid | None) -> Numbers | None:
    """The cell in which each source of a fold lies; None where the sources are neither cells nor patches."""
    count = grid[0] * grid[1]
    if sources in (frames * count, frames * count + 1):  # one more is the newline
        return np.arange(frames * count)
    if patches is None or sources not in (frames * patches[0] * patches[1], frames * patches[0] * patches[1] + 1):
        return None
    rows, columns = (np.arange(many) * few // many for many, few in zip(patches, grid, strict=True))
    frame = rows[:, None] * grid[1] + columns
    return (np.arange(frames)[:, None, None] * count + frame).ravel()

"""Linear mixes of tokens: weighted sums of rows as a list of edges, applied, composed, and made into a `Reduction`."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True, eq=False)
class Mix:
    """A linear map of S rows to K rows: every edge adds ``share`` of one source row to one target row.

    Attributes:
        target: (E,) int64, row of the result in [0, K]; K drops the edge.
        share: (E,) float32.
        sources: S.
        rows: K.
        source: (E,) int64, row in [0, S); None where E = S and edge i starts at row i.
    """

    target: Tensor
    share: Tensor
    sources: int
    rows: int
    source: Tensor | None = None

    @classmethod
    def means(cls, target: Tensor, rows: int) -> "Mix":
        """Each of K rows becomes the plain mean of the sources that go to it; source i goes to ``target[i]``."""
        return cls(target, counts(target, rows + 1).float().reciprocal()[target], len(target), rows)

    @classmethod
    def blends(cls, target: Tensor, own: float) -> "Mix":
        """A row that stays becomes own * itself + (1 - own) * mean of the others that go to it, if there are any.

        A row that stays is its own target; ``target`` is (S,) int64 in [0, S], ``own`` a number in [0, 1].
        """
        size = len(target)
        stays = target == torch.arange(size, device=target.device)
        others = (counts(target, size + 1)[target] - 1).float()
        alone = torch.full_like(others, own).masked_fill_(others == 0, 1.0)
        return cls(target, torch.where(stays, alone, (1 - own) / others.clamp_min(1)), size, size)

    @classmethod
    def selection(cls, index: Tensor, sources: int) -> "Mix":
        """The rows ``index`` (K,) unchanged."""
        ones = torch.ones(len(index), dtype=torch.float32, device=index.device)
        return cls(torch.arange(len(index), device=index.device), ones, sources, len(index), index)

    def __call__(self, values: Tensor) -> Tensor:
        """The result (K, D) for rows (S, D) float32; rows that nothing goes to are 0. The same on every run."""
        # One row more takes what is dropped.
        if values.device.type != "cpu" or torch.compiler.is_compiling():
            picked = values if self.source is None else values[self.source]
            return sum_rows(self.share[:, None] * picked, self.target, self.rows + 1)[:-1]
        # The fastest on a CPU; on a GPU it would add in any order.
        edges = _sparse(self.target, self._sources(), self.share, (self.rows + 1, self.sources))
        sums: Tensor = torch.sparse.mm(edges, values)
        return sums[:-1]

    def keep(self, index: Tensor) -> "Mix":
        """Only the rows ``index`` (k,) of the result, no two alike, in this order."""
        count = len(index)
        place = index.new_full((self.rows + 1,), count)
        place.scatter_(0, index, torch.arange(count, device=index.device))
        return Mix(place[self.target], self.share, self.sources, count, self.source)

    def then(self, after: "Mix") -> "Mix":
        """This mix and then ``after`` as one mix; ``after`` sends every row to one row (its ``source`` is None)."""
        target = functional.pad(after.target, (0, 1), value=after.rows)[self.target]
        share = self.share * functional.pad(after.share, (0, 1))[self.target]
        return Mix(target, share, self.sources, after.rows, self.source)

    def matrix(self) -> Tensor:
        """The matrix of the map, sparse (K, S) float32 without explicit zeros; it waits for the device."""
        live = (self.target < self.rows) & (self.share != 0)
        edges = self.target[live], self._sources()[live], self.share[live]
        return _sparse(*edges, (self.rows, self.sources)).coalesce()

    def reduction(self, tokens: VideoTokens, pooled: Tensor, places: Tensor, *, weights: bool) -> Reduction:
        """The reduction of a video to the rows of the result.

        Args:
            tokens: the video.
            pooled: (F, N, D) float32, its pooled tokens, the S = F*N sources.
            places: (K,) int64, flat index f*N + cell that each row stands for.
            weights: also give the (K, F*N) matrix.
        """
        matrix = self.matrix() if weights else None
        return Reduction.of(tokens, self(pooled.flatten(0, 1)), places // tokens.cells, places % tokens.cells, matrix)

    def _sources(self) -> Tensor:
        return torch.arange(self.sources, device=self.target.device) if self.source is None else self.source


def sum_rows(values: Tensor, target: Tensor, rows: int) -> Tensor:
    """Sums (rows, D) of the values (M, D) that go to each row ``target`` (M,); the same on every run."""
    sums = values.new_zeros(rows, values.shape[1])
    if values.device.type == "cpu":
        return sums.index_add_(0, target, values)
    return sums.index_put_((target,), values, accumulate=True)  # index_add_ would add in any order


def counts(target: Tensor, rows: int) -> Tensor:
    """How often each of the rows occurs in ``target`` (E,): (rows,) int64."""
    return torch.zeros(rows, dtype=torch.int64, device=target.device).scatter_add_(0, target, torch.ones_like(target))


def _sparse(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, size, check_invariants=False)

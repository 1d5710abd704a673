"""SimpleCluster: k-means on tokens that know where and when they are."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_positive, setting
from vidfold.linear import Mix, counts, sum_rows
from vidfold.ops.cover import farthest_units
from vidfold.ops.ranks import by_first_member, descending_rank
from vidfold.ops.shares import on_host
from vidfold.reducers.base import PublishedReducer, select
from vidfold.tokens import Reduction, VideoTokens

_CONVERGED = 1e-6


@dataclass(frozen=True)
class SimpleCluster(PublishedReducer):
    """Spherical k-means over the whole video (arXiv 2609.35394); every cluster becomes the mean of its raw tokens.

    Tokens are compared by cosine after rotary position embedding in three dimensions (frame, row, column), so that
    distance in space and time counts. Prototypes start farthest-first and are refined by at most ``iterations`` of
    Lloyd's steps; an empty cluster takes the worst covered token. A cluster left empty at the end takes the worst
    covered token that is not the best covered of its own. A merged token stands where its first member stood. The
    start is serial in the K choices; a step is one matrix product. Time grows with the square of the length.

    Attributes:
        iterations: of Lloyd's algorithm at most; it stops when no prototype moves. (On a GPU it runs all of them, so
            that the host need not wait.)
        theta: base of the rotary frequencies.
        start: flat index of the first prototype. None: the token of largest norm. The authors' program intends
            that, too, but takes norms after normalisation, where all are 1 and rounding decides.
        original: the authors' rounding K = round(retention * F*N), halves to even, and an error where a cluster is
            left empty.
    """

    iterations: int = setting(10, check_count)
    theta: float = setting(10000.0, check_positive)
    start: int | None = setting(None, check_count, optional=True, least=0)

    name = "simplecluster"
    published = "SimpleCluster, arXiv 2609.35394"
    idea = "k-means over the whole video on tokens with rotary positions"

    def original_count(self, frames: int, cells: int) -> int:
        """The authors' rounding, halves to even."""
        return max(1, round(self.retention * (frames * cells)))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K merged tokens in reading order."""
        total, full = self.count(tokens.frames, tokens.cells), tokens.frames * tokens.cells
        if total == full:
            return select(tokens, torch.arange(full, device=tokens.features.device), weights=weights)
        features = tokens.pooled().float()
        units = functional.normalize(rotated(features, tokens.language_grid, self.theta), dim=-1).flatten(0, 1)
        if self.start is None:
            start = features.flatten(0, 1).square().sum(1).argmax()
        elif self.start < full:
            start = torch.tensor(self.start, device=units.device)
        else:
            raise ValueError(f"start={self.start} is not one of the video's {full} tokens")
        labels, coverage = self._cluster(units, start, total)
        if not self.original:
            labels = _fill_empty(labels, coverage, total)
        elif bool((empty := counts(labels, total) == 0).any()):
            raise ValueError(
                f"{int(empty.sum())} of {total} clusters are empty, where the authors' program stops; "
                "use original=False"
            )
        labels, places = by_first_member(labels, total)
        return Mix.means(labels, total).reduction(tokens, features, places, weights=weights)

    def _cluster(self, units: Tensor, start: Tensor, total: int) -> tuple[Tensor, Tensor]:
        """Cluster (S,) of every token and its cosine (S,) to the prototype."""
        prototypes = units[farthest_units(units[None], start[None], total)[0]]
        coverage, labels = (units @ prototypes.T).max(1)
        moving = torch.ones((), dtype=torch.bool, device=units.device)
        for _ in range(self.iterations):
            means = functional.normalize(sum_rows(units, labels, total), dim=-1)
            means = _reseed(means, units, coverage, counts(labels, total) == 0)
            step = (means - prototypes).abs().amax()
            prototypes = torch.where(moving, means, prototypes)
            moving = moving & (step > _CONVERGED)
            coverage, labels = (units @ prototypes.T).max(1)
            if on_host(units) and not bool(moving):
                break
        return labels, coverage


def rotated(features: Tensor, grid: tuple[int, int], theta: float) -> Tensor:
    """Rotary position embedding in three dimensions (F, N, D) of float32 features (F, N, D).

    The channels are split into equal parts for frame, row and column, the first with the remainder; an odd last
    channel of a part is not rotated. Pairs are interleaved, coordinates are plain indices.
    """
    frames, cells, width = features.shape
    frame, cell = (torch.arange(count, device=features.device) for count in (frames, cells))
    coordinates = frame[:, None], cell // grid[1], cell % grid[1]
    second = width - 2 * (width // 3)
    third = second + width // 3
    parts = features[:, :, :second], features[:, :, second:third], features[:, :, third:]
    return torch.cat([_rotate(part, place, theta) for part, place in zip(parts, coordinates, strict=True)], dim=2)


def _rotate(part: Tensor, place: Tensor, theta: float) -> Tensor:
    pairs = part.shape[2] // 2
    if pairs == 0:
        return part
    frequency = theta ** (-torch.arange(pairs, dtype=torch.float32, device=part.device) / pairs)
    angle = place[..., None] * frequency
    even, odd = part[:, :, 0 : 2 * pairs : 2], part[:, :, 1 : 2 * pairs : 2]
    turned = torch.stack([even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], dim=3)
    return torch.cat([turned.flatten(2), part[:, :, 2 * pairs :]], dim=2)


def _reseed(means: Tensor, units: Tensor, coverage: Tensor, empty: Tensor) -> Tensor:
    """The prototypes; those of empty clusters move to the worst covered tokens, the worst first."""
    worst = coverage.argsort(stable=True)[(empty.cumsum(0) - 1).clamp_min(0)]
    return torch.where(empty[:, None], units[worst], means)


def _fill_empty(labels: Tensor, coverage: Tensor, groups: int) -> Tensor:
    """Labels (S,) without empty clusters: each takes the worst covered token whose cluster has a better covered one."""
    rank = descending_rank(coverage)
    best = rank.new_full((groups,), len(labels)).scatter_reduce_(0, labels, rank, "amin")
    spare = coverage.masked_fill(rank == best[labels], torch.inf).argsort(stable=True)
    empty = best == len(labels)
    taken = torch.where(empty, spare[(empty.cumsum(0) - 1).clamp_min(0)], len(labels))
    # One place more takes what the clusters that have members would write.
    filled = torch.cat([labels, labels.new_zeros(1)])
    return filled.scatter_(0, taken, torch.arange(groups, device=labels.device))[:-1]

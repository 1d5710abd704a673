"""GleanVID: keep what the tokens kept of earlier frames do not explain."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_positive, check_ratio, setting
from vidfold.ops.ranks import descending_rank, first_true, reading_order
from vidfold.ops.shares import host_bound, proportional
from vidfold.reducers.base import BudgetedReducer, select
from vidfold.tokens import Grid, Reduction, VideoTokens

_BLOCK, _ROUNDS = 8, 12
"""Directions that the search for the first singular vector keeps, and its rounds."""


@dataclass(frozen=True)
class GleanVID(BudgetedReducer):
    """Complementary token selection (arXiv 2609.37042), after the paper's description, not compared with its program.

    The direction in which the video's tokens vary most is removed from them (equation 3). A frame's budget is part
    even, part in proportion to its novelty: how much of its 2x2 means the same means of all earlier frames do not
    span (equations 4-7, 11). In each frame in turn a token's score is how much better it fits the mean of its 2x2
    cells than that of its frame (equation 8), plus how much of it the tokens kept of earlier frames do not span
    (equations 9, 12, 13), both scaled to [0, 1] (equation 10). Nothing is merged and no attention is read. Serial in
    the F frames; no step waits for the device.

    A frame is given no more than its N tokens; the others share the rest. What may be rounding is 0, so that it chooses
    nothing: a residual below ``tolerance`` of the token's own norm, and a new direction below that part of the frame's
    largest norm (in the paper, of the largest new direction).

    Attributes:
        least_even: alpha_min, the even part of the budget where one frame alone is novel.
        most_even: alpha_max, the even part where all frames are equally novel.
        sharpness: tau, of the softplus that bounds the fit from below.
        tolerance: relative size below which a direction is already spanned.
    """

    least_even: float = setting(0.2, check_ratio, zero=True)
    most_even: float = setting(0.6, check_ratio, zero=True)
    sharpness: float = setting(4.0, check_positive)
    tolerance: float = setting(1e-4, check_positive)

    name = "gleanvid"
    published = "GleanVID, arXiv 2609.37042"
    idea = "keeps the tokens that those kept of earlier frames explain least, more of novel frames"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens in reading order."""
        pooled, grid = tokens.pooled().float(), tokens.language_grid
        total = self.count(tokens.frames, tokens.cells)
        plain = debiased(pooled)
        budget = self.budget(novelty(plain, grid, self.tolerance), tokens.cells, total)
        kept = self.choose(plain, self.fit(pooled, grid), budget)
        return select(tokens, reading_order(kept, total), weights=weights)

    def budget(self, novel: Tensor, cells: int, total: int) -> Tensor:
        """Tokens (F,) int64 to keep of every frame, given the frames' novelty (F,)."""
        frames = len(novel)
        whole = novel.sum()
        share = torch.where(whole > 0, novel / whole, 1 / frames)
        place = torch.arange(1, frames + 1, device=novel.device)
        gini = 2 * (place * share.sort().values).sum() / frames - (frames + 1) / frames
        even = self.most_even - (self.most_even - self.least_even) * gini
        return proportional(total, even / frames + (1 - even) * share, cells)

    def fit(self, pooled: Tensor, grid: Grid) -> Tensor:
        """How much better tokens (F, N, D) fit their 2x2 cells than their frame, (F, N) in [0, 1]."""
        local = functional.cosine_similarity(pooled, spread(means(pooled, grid), grid), dim=2)
        of_frame = functional.cosine_similarity(pooled, pooled.mean(1, keepdim=True), dim=2)
        return unit_range(functional.softplus(local - of_frame, beta=self.sharpness))

    def choose(self, plain: Tensor, fit: Tensor, budget: Tensor) -> Tensor:
        """Which tokens (F, N) bool to keep.

        Args:
            plain: (F, N, D) float32, debiased tokens.
            fit: (F, N) float32.
            budget: (F,) int64, tokens to keep of every frame.
        """
        most = host_bound(budget, plain.shape[1])
        least = self.tolerance * torch.linalg.vector_norm(plain, dim=2)
        rest, kept = plain.clone(), torch.zeros_like(fit, dtype=torch.bool)
        for frame in range(len(plain)):
            apart = torch.linalg.vector_norm(rest[frame], dim=1)
            apart = apart.masked_fill(apart <= least[frame], 0)
            kept[frame] = descending_rank(fit[frame] + unit_range(apart)) < budget[frame]
            chosen = first_true(kept[frame], most)
            directions, triangle = torch.linalg.qr((rest[frame, chosen] * kept[frame, chosen][:, None]).T)
            new = directions * (triangle.diagonal().abs() > least[frame].amax())
            rest[frame + 1 :] -= rest[frame + 1 :] @ new @ new.T
        return kept


def unit_range(values: Tensor) -> Tensor:
    """Values scaled to [0, 1] along the last axis; 0 where all are equal."""
    least = values.amin(-1, keepdim=True)
    return (values - least) / (values.amax(-1, keepdim=True) - least).clamp_min(torch.finfo(values.dtype).tiny)


def debiased(tokens: Tensor) -> Tensor:
    """Tokens (F, N, D) without the direction in which they vary most around their mean; the mean stays (equation 3)."""
    mean = tokens.mean((0, 1))
    centred = tokens - mean
    direction = first_direction(centred.flatten(0, 1))
    return centred - (centred @ direction)[..., None] * direction + mean


def first_direction(rows: Tensor) -> Tensor:
    """The first right singular vector (D,) of rows (n, D), by block iteration and no wait; 0 where all rows are 0."""
    block = rows[torch.arange(_BLOCK, device=rows.device) * len(rows) // _BLOCK].T
    for _ in range(_ROUNDS):
        block = torch.linalg.qr(rows.T @ (rows @ torch.linalg.qr(block)[0]))[0]
    seen = rows @ block
    # Powers of this small matrix tend to the projection onto its first eigenvector.
    power = seen.T @ seen
    for _ in range(2 * _ROUNDS):
        power = power / power.diagonal().sum().clamp_min(torch.finfo(power.dtype).tiny)
        power = power @ power
    largest = power.diagonal().argmax(0, keepdim=True)
    return functional.normalize(block @ power.index_select(0, largest)[0], dim=0)


def means(tokens: Tensor, grid: Grid) -> Tensor:
    """Means (F, P, D) over 2x2 cells of the grid, of fewer at an odd edge, of tokens (F, N, D)."""
    image = tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
    return functional.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)


def spread(values: Tensor, grid: Grid) -> Tensor:
    """The value of its 2x2 cells for every cell: (F, P, ...) as (F, N, ...)."""
    rows, columns = (torch.arange(side, device=values.device) // 2 for side in grid)
    return values[:, (rows[:, None] * -(-grid[1] // 2) + columns).flatten()]


def novelty(tokens: Tensor, grid: Grid, tolerance: float) -> Tensor:
    """How much of the 2x2 means of a frame those of all earlier frames do not span, summed over its cells: (F,).

    Equations 4 and 11: each place has its own span, by ridge regression on the Gram matrix of its means over time.
    """
    prototypes = means(tokens, grid).transpose(0, 1)
    gram = prototypes @ prototypes.transpose(1, 2)
    own = gram.diagonal(dim1=1, dim2=2)
    left = [own[:, 0]]
    for frame in range(1, len(tokens)):
        ridge = tolerance * own[:, :frame].mean(1).clamp_min(torch.finfo(own.dtype).tiny)
        earlier = gram[:, :frame, :frame] + torch.diag_embed(ridge[:, None].expand(-1, frame))
        known = gram[:, :frame, frame, None]
        factor, _ = torch.linalg.cholesky_ex(earlier)
        left.append(own[:, frame] - (known * torch.cholesky_solve(known, factor))[..., 0].sum(1))
    return spread(torch.stack(left).clamp_min(0).sqrt(), grid).sum(1)

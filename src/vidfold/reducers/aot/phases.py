"""The mathematics of the two phases of `AOT`: costs, merges, and what is left, over all frames or all clips at once."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.clips import Clips
from vidfold.ops.ranks import window_ids
from vidfold.ops.sketch import sketch
from vidfold.reducers.aot.absorb import matrix_of
from vidfold.tokens import Grid, Reduction, VideoTokens

_SHORTEST = 1e-12
_SMALLEST_SCALE = 1e-6
_LEAST_MEAN, _LEAST_SALIENCY = 1e-9, 1e-6
_WINDOWS = 3
"""Windows along each axis of the frame, as in the paper."""
_LAST = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class Candidates:
    """What phase I keeps of every frame: m rows in raster order.

    Attributes:
        values: (F, m, D) float32, merged.
        units: (F, m, E) float32, unit tokens before they absorbed anything, sketched to E channels. Phase II compares
            these.
        cells: (F, m) int64, cell of the language grid.
        mass: (F, m) float32, 1 and what the row absorbed.
        weight: (F, m) float32, how much the row counts in choices, beside its mass.
        means: (F, E) float32, mean unit token of each frame.
        mix: (F, m, N) float32, what the rows are made of; (F, 0, N) if not asked for.
    """

    values: Tensor
    units: Tensor
    cells: Tensor
    mass: Tensor
    weight: Tensor
    means: Tensor
    mix: Tensor


@dataclass(frozen=True, eq=False)
class Support:
    """What phase II keeps of every clip, of the L * m rows of its frames.

    Attributes:
        order: (C, k) int64, the chosen rows, best first.
        columns: (C, L * m, k) float32, costs of all rows to these.
        take: (C, k) bool, the ones that the budget keeps; they come first.
    """

    order: Tensor
    columns: Tensor
    take: Tensor


def unit_tokens(features: Tensor, width: int | None) -> Tensor:
    """Tokens (F, N, D) float32 of length 1, sketched to ``width`` channels (None: all of them)."""
    lengths: Tensor = torch.linalg.vector_norm(features, dim=2, keepdim=True).clamp_min(_SHORTEST)
    return (features if width is None else sketch(features, width)) / lengths


def distances(units: Tensor) -> Tensor:
    """Half squared distances of all pairs (B, n, n) of tokens (B, n, E); for unit tokens these are 1 - cos.

    Symmetric, with zeros for a token and itself: two tokens that lower a sum by the same amount are then exactly equal.
    """
    halves = units.square().sum(2) / 2
    cost = (halves[:, :, None] + halves[:, None, :]).baddbmm_(units, units.transpose(1, 2), alpha=-1).clamp_min_(0)
    cost.diagonal(dim1=1, dim2=2).zero_()
    return cost


def mean_cost(means: Tensor) -> Tensor:
    """The mean cost (B,) of two tokens of a set with mean unit token (B, E): 1 - |mean|^2. It is the unit of costs."""
    return (1 - means.square().sum(1)).clamp_min(_SMALLEST_SCALE)


def columns_of(cost: Tensor, index: Tensor) -> Tensor:
    """Columns ``index`` (B, k) of each matrix (B, n, n): (B, n, k)."""
    return cost.gather(2, index[:, None, :].expand(-1, cost.shape[1], -1))


def rows_there(clips: Clips, count: int) -> Tensor:
    """Which rows (C, L * count) bool of the clips are not padding, with ``count`` rows a frame."""
    return clips.there[:, :, None].expand(-1, -1, count).flatten(1)


def emitted(
    tokens: VideoTokens, found: Candidates, clips: Clips, support: Support, mix: Tensor, total: int
) -> Reduction:
    """The K tokens in order of time, then raster; ``mix`` (C, k, L * m) says what the chosen rows are made of."""
    count = found.cells.shape[1]
    slot = support.order + clips.longest * count * torch.arange(len(mix), device=mix.device)[:, None]
    first = slot.masked_fill(~support.take, _LAST).flatten().argsort(stable=True)[:total]
    slot = slot.flatten()[first]
    frame = clips.members.flatten()[slot // count]
    matrix = None
    if found.mix.shape[1]:
        by_frame = mix.view(*mix.shape[:2], clips.longest, count)
        marks = torch.einsum("cklm,clmn->ckln", by_frame, found.mix[clips.members]).flatten(2)
        matrix = matrix_of(marks.flatten(0, 1)[first], clips.first[frame], tokens.cells, tokens.frames)
    rows = (mix @ clips.rows(found.values)).flatten(0, 1).index_select(0, first)
    return Reduction.of(tokens, rows, frame, found.cells[frame, slot % count], matrix)


def saliency(shallow: Tensor, deep: Tensor, grid: Grid) -> Tensor:
    """The paper's local and global anchors as one number: half shallow attention over its mean in the window, half deep
    attention over its mean in the frame.

    Args:
        shallow: (F, N) float32, attention received in a shallow layer, on ``grid``.
        deep: (F, N) float32, the same in a deep layer.
        grid: (h, w), N = h * w.

    Returns:
        (F, N) float32, positive, mean about 1.
    """
    window = functional.one_hot(window_ids(grid, _WINDOWS, shallow.device), _WINDOWS**2).to(shallow.dtype)
    local = (shallow @ window / window.sum(0).clamp_min(1)) @ window.T
    shares = deep / deep.mean(1, keepdim=True).clamp_min(_LEAST_MEAN) + shallow / local.clamp_min(_LEAST_MEAN)
    return (shares / 2).clamp_min(_LEAST_SALIENCY)

"""The exchange of `vidfold.ops.quantise` in three kernels: anchors move from where they are needed least."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.ops.kernels.clip import NUMBERS, Layout, of_clip
from vidfold.ops.kernels.rows import DEPTH, TILE, WARPS, copy_row, nearest
from vidfold.ops.quantise import ROUNDING

_RANKED, _WIDTH = 64, 128
"""Anchors at a time that are ranked; channels of a row that are copied at a time."""
_SURE = tl.constexpr(1 - ROUNDING)


# fmt: off
@triton.jit(do_not_specialize=NUMBERS)
def _losses(
    anchors, served, others, losses, starts, lengths, total, frames, cells, tiles, channels,
    N: tl.constexpr, K: tl.constexpr, E: tl.constexpr,
):
    """The nearest other anchor of each, and what its tokens would lose there."""
    _, _, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * N + tl.arange(0, N)
    anchors += anchor * channels
    best, index = nearest(anchors, row, count, anchors, count, channels, True, N, K, E)
    served += (anchor + row) * 4
    mass = tl.load(served, row < count, 0.0)
    away = tl.load(served + 1, row < count, 0.0)
    less = away - tl.load(served + 2, row < count, 0.0)
    apart = tl.maximum(-best + _SURE, 0.0)
    tl.store(losses + anchor + row, apart * (apart * (mass - away - less) + 2 * less), row < count)
    tl.store(others + anchor + row, index, row < count)


@triton.jit(do_not_specialize=NUMBERS)
def _turns(
    losses, served, givers, takers, turns, starts, lengths, total, frames, cells, tiles, K: tl.constexpr,
):
    """Anchors by ascending loss and by descending gain; of equal ones the first comes first."""
    _, _, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * K + tl.arange(0, K)
    losses += anchor
    served += anchor * 4 + 3
    loss = tl.load(losses + row, row < count, 0.0)[:, None]
    gain = tl.load(served + row * 4, row < count, 0.0)[:, None]
    giver, taker = tl.zeros((K,), tl.int32), tl.zeros((K,), tl.int32)
    for start in range(0, count, K):
        rival = start + tl.arange(0, K)
        earlier = rival[None, :] < row[:, None]
        other = tl.load(losses + rival, rival < count, float("inf"))[None, :]
        giver += tl.sum(((other < loss) | ((other == loss) & earlier)).to(tl.int32), 1)
        other = tl.load(served + rival * 4, rival < count, -float("inf"))[None, :]
        taker += tl.sum(((other > gain) | ((other == gain) & earlier)).to(tl.int32), 1)
    tl.store(givers + anchor + giver, row, row < count)
    tl.store(takers + anchor + taker, row, row < count)
    tl.store(turns + anchor + row, giver, row < count)


@triton.jit(do_not_specialize=NUMBERS)
def _move(
    points, anchors, losses, served, worst, others, givers, takers, turns,
    starts, lengths, total, frames, cells, most, moved, channels, WIDTH: tl.constexpr,
):
    """The anchor of each turn moves to the worst served token of the anchor of the same turn, where that pays."""
    first, _, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    turn = tl.program_id(0) % most
    if turn >= tl.minimum(count, tl.maximum((count * moved).to(tl.int32), 1)):
        return
    giver, taker = tl.load(givers + anchor + turn), tl.load(takers + anchor + turn)
    # Of an anchor and the one that would take its tokens, only the first may move.
    last = tl.load(turns + anchor + tl.load(others + anchor + giver)) >= turn
    pays = tl.load(served + (anchor + taker) * 4 + 3) > tl.load(losses + anchor + giver)
    if pays & last & (giver != taker):
        place = tl.load(worst + anchor + taker)
        copy_row(points + (first + place) * channels, anchors + (anchor + giver) * channels, channels, WIDTH)


# fmt: on
def exchange(points: Tensor, anchors: Tensor, served: Tensor, worst: Tensor, layout: Layout, moved: float) -> None:
    """Move anchors (K, E) in place.

    Args:
        points: (F*N, E) float32.
        anchors: (K, E) float32, each the barycentre of its tokens.
        served: (K, 4) float32, of the tokens of each: their number, the sums of 1 - cos and of its square, and what one
            anchor more there is expected to save.
        worst: (K,) int32, the worst served token of each, as a place in the clip.
        layout: of the clips.
        moved: share of the anchors that may move, above 0.
    """
    clips, width, tiles = layout.clips, points.shape[1], triton.cdiv(layout.most, TILE)
    losses = points.new_empty(layout.total)
    others, givers, takers, turns = torch.empty(4, layout.total, dtype=torch.int32, device=points.device)
    _losses[(clips * tiles,)](
        anchors, served, others, losses, *layout.numbers, tiles, width, N=TILE, K=TILE, E=DEPTH, num_warps=WARPS
    )
    tiles = triton.cdiv(layout.most, _RANKED)
    _turns[(clips * tiles,)](losses, served, givers, takers, turns, *layout.numbers, tiles, K=_RANKED)
    most = max(1, int(layout.most * moved))
    _move[(clips * most,)](
        points, anchors, losses, served, worst, others, givers, takers, turns,
        *layout.numbers, most, moved, width, WIDTH=_WIDTH, num_warps=1,
    )  # fmt: skip

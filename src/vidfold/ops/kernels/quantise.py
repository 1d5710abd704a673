"""`vidfold.ops.quantise` in kernels: anchors that move to where they serve most.

A round is five launches: the nearest anchor of each token, the barycentre of each anchor's tokens, what an anchor's
tokens would lose at the nearest other anchor, the order of these losses and of what an anchor more would gain, and the
moves. The cosines of all tokens and anchors are never stored. An anchor finds its own tokens by a look at the labels
of its clip, which costs little beside the product.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.ops.kernels.channels import units as unit_rows
from vidfold.ops.kernels.clip import SCAN, Layout, of_clip, own_tokens
from vidfold.ops.quantise import CLOSE, NEVER, ROUNDING, SAVED

_TILE, _DEPTH, _WARPS = 64, 32, 8
"""Tokens and anchors of a product at a time, their channels, and its warps: with fewer, registers do not suffice."""
_MEMBERS, _WIDTH = 16, 128
"""Tokens of an anchor at a time, and their channels."""
_CLOSE = tl.constexpr(CLOSE)
_NEVER = tl.constexpr(NEVER)
_SURE = tl.constexpr(1 - ROUNDING)
_SAVED = tl.constexpr(SAVED)
_NUMBERS = ["total", "frames", "cells", "tiles", "most"]
"""Arguments that differ from video to video; a kernel is not compiled anew for each."""


# fmt: off
@triton.jit
def _far(near):
    """1 - cos, at least 0."""
    return tl.minimum(tl.maximum(-near + _SURE, 0.0), 1.0)


@triton.jit
def _copy_row(source, target, channels, WIDTH: tl.constexpr):
    for start in range(0, channels, WIDTH):
        column = start + tl.arange(0, WIDTH)
        tl.store(target + column, tl.load(source + column, column < channels, 0.0), column < channels)


@triton.jit
def _nearest(
    points, row, size, anchors, count, channels, APART: tl.constexpr,
    N: tl.constexpr, K: tl.constexpr, E: tl.constexpr,
):
    """Cosine and index of the nearest anchor of a tile of points; of equally near ones the first.

    ``APART``: points are the anchors themselves, and none is its own nearest.
    """
    best = tl.full((N,), _NEVER - 1, tl.float32)
    index = tl.zeros((N,), tl.int32)
    for start in range(0, count, K):
        anchor = start + tl.arange(0, K)
        product = tl.zeros((N, K), tl.float32)
        for left in range(0, channels, E):
            channel = left + tl.arange(0, E)
            here = channel < channels
            x = tl.load(points + row.to(tl.int64)[:, None] * channels + channel[None, :],
                        (row < size)[:, None] & here[None, :], 0.0)
            y = tl.load(anchors + anchor.to(tl.int64)[None, :] * channels + channel[:, None],
                        (anchor < count)[None, :] & here[:, None], 0.0)
            product = tl.dot(x, y, product, input_precision="ieee")
        product = tl.where((anchor < count)[None, :], product, _NEVER)
        if APART:
            product = tl.where(row[:, None] == anchor[None, :], _NEVER, product)
        top, at = tl.max(product, 1, return_indices=True, return_indices_tie_break_left=True)
        index = tl.where(top > best, start + at, index)
        best = tl.maximum(top, best)
    return best, index


@triton.jit(do_not_specialize=_NUMBERS)
def _assign(
    points, anchors, labels, near, starts, lengths, total, frames, cells, tiles, channels,
    N: tl.constexpr, K: tl.constexpr, E: tl.constexpr,
):
    first, size, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * N + tl.arange(0, N)
    points += first * channels
    best, index = _nearest(points, row, size, anchors + anchor * channels, count, channels, False, N, K, E)
    # The label K: a clip that keeps nothing.
    tl.store(labels + first + row, tl.where(count > 0, anchor + index, total).to(tl.int32), row < size)
    tl.store(near + first + row, best, row < size)


@triton.jit(do_not_specialize=_NUMBERS)
def _begin(points, anchors, starts, lengths, total, frames, cells, most, channels, WIDTH: tl.constexpr):
    first, size, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    slot = tl.program_id(0) % most
    if slot >= count:
        return
    place = slot.to(tl.int64) * (size - 1) // tl.maximum(count - 1, 1)
    _copy_row(points + (first + place) * channels, anchors + (anchor + slot) * channels, channels, WIDTH)


@triton.jit(do_not_specialize=_NUMBERS)
def _barycentres(
    points, anchors, labels, near, members, served, worst, starts, lengths, total, frames, cells, most, channels,
    MEMBERS: tl.constexpr, WIDTH: tl.constexpr,
):
    first, size, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    if tl.program_id(0) % most >= count:
        return
    anchor += tl.program_id(0) % most
    before, away, cost, highest = 0, 0.0, 0.0, 0.0
    for start in range(0, size, SCAN):
        own, token = own_tokens(labels, first, start, size, anchor)
        far = tl.where(own, _far(tl.load(near + first + token, own, 1.0)), 0.0)
        label = tl.load(labels + first + token, token < size, total)
        before += tl.sum((label < anchor).to(tl.int32), 0)
        away += tl.sum(far, 0)
        cost += tl.sum(far * far, 0)
        highest = tl.maximum(highest, tl.max(far, 0))
    # Members of all anchors lie one after the other, as the anchors do.
    members += first + before
    mass, least = 0, size
    for start in range(0, size, SCAN):
        own, token = own_tokens(labels, first, start, size, anchor)
        far = _far(tl.load(near + first + token, own, 1.0))
        least = tl.minimum(least, tl.min(tl.where(own & (far >= highest - _CLOSE), token, size), 0))
        tl.store(members + mass + tl.cumsum(own.to(tl.int32), 0) - 1, token, own)
        mass += tl.sum(own.to(tl.int32), 0)
    tl.store(worst + anchor, tl.minimum(least, size - 1))
    tl.store(served + anchor * 4, mass)
    tl.store(served + anchor * 4 + 1, away)
    tl.store(served + anchor * 4 + 2, cost)
    tl.store(served + anchor * 4 + 3, highest * highest + (cost - highest * highest) * _SAVED)
    # What is stored here is loaded by other threads.
    tl.debug_barrier()
    points += first * channels
    anchors += anchor * channels
    square = 0.0
    for left in range(0, channels, WIDTH):
        column = left + tl.arange(0, WIDTH)
        sums = tl.zeros((WIDTH,), tl.float32)
        for start in range(0, mass, MEMBERS):
            member = start + tl.arange(0, MEMBERS)
            token = tl.load(members + member, member < mass, 0).to(tl.int64)
            inside = (member < mass)[:, None] & (column < channels)[None, :]
            sums += tl.sum(tl.load(points + token[:, None] * channels + column[None, :], inside, 0.0), 0)
        square += tl.sum(sums * sums, 0)
        tl.store(anchors + column, sums, (column < channels) & (mass > 0))
    tl.debug_barrier()
    norm = tl.maximum(tl.sqrt_rn(square), 1e-12)
    for left in range(0, channels, WIDTH):
        column = left + tl.arange(0, WIDTH)
        inside = (column < channels) & (mass > 0)
        tl.store(anchors + column, tl.load(anchors + column, inside, 0.0) / norm, inside)


@triton.jit(do_not_specialize=_NUMBERS)
def _losses(
    anchors, served, others, losses, starts, lengths, total, frames, cells, tiles, channels,
    N: tl.constexpr, K: tl.constexpr, E: tl.constexpr,
):
    _, _, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * N + tl.arange(0, N)
    anchors += anchor * channels
    best, index = _nearest(anchors, row, count, anchors, count, channels, True, N, K, E)
    served += (anchor + row) * 4
    mass = tl.load(served, row < count, 0.0)
    away = tl.load(served + 1, row < count, 0.0)
    less = away - tl.load(served + 2, row < count, 0.0)
    apart = tl.maximum(-best + _SURE, 0.0)
    tl.store(losses + anchor + row, apart * (apart * (mass - away - less) + 2 * less), row < count)
    tl.store(others + anchor + row, index, row < count)


@triton.jit(do_not_specialize=_NUMBERS)
def _turns(
    losses, served, givers, takers, turns, starts, lengths, total, frames, cells, tiles, K: tl.constexpr,
):
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


@triton.jit(do_not_specialize=[*_NUMBERS, "moving"])
def _move(
    points, anchors, losses, served, worst, others, givers, takers, turns,
    starts, lengths, total, frames, cells, moving, moved, channels, WIDTH: tl.constexpr,
):
    first, _, anchor, count = of_clip(tl.program_id(0) // moving, starts, lengths, total, frames, cells)
    slot = tl.program_id(0) % moving
    if slot >= tl.minimum(count, tl.maximum((count * moved).to(tl.int32), 1)):
        return
    giver, taker = tl.load(givers + anchor + slot), tl.load(takers + anchor + slot)
    # Of an anchor and the one that would take its tokens, only the first may move.
    last = tl.load(turns + anchor + tl.load(others + anchor + giver)) >= slot
    pays = tl.load(served + (anchor + taker) * 4 + 3) > tl.load(losses + anchor + giver)
    if pays & last & (giver != taker):
        place = tl.load(worst + anchor + taker)
        _copy_row(points + (first + place) * channels, anchors + (anchor + giver) * channels, channels, WIDTH)


# fmt: on
def quantise(units: Tensor, layout: Layout, rounds: int, coarse: int, moved: float = 1 / 4) -> tuple[Tensor, Tensor]:
    """`vidfold.ops.quantise.quantise`, but that anchors without tokens are still to be given one.

    Args:
        units: (F*N, E) float32, contiguous, tokens of length 1 or 0.
        layout: of the clips.
        rounds: how often the anchors move.
        coarse: channels in all assignments but the last.
        moved: share of the anchors that a round may move, above 0.

    Returns:
        (F*N,) int32, the anchor in [0, K) of each token, counted through all clips, or K in a clip that keeps nothing;
        and (F*N,) float32, how near it is.
    """
    clips, most, total, rows = layout.clips, layout.most, layout.total, len(units)
    near, served = units.new_empty(rows), units.new_empty(total, 4)
    losses = units.new_empty(total)
    labels, members = torch.empty(2, rows, dtype=torch.int32, device=units.device)
    worst, others, givers, takers, turns = torch.empty(5, total, dtype=torch.int32, device=units.device)
    tiles, anchor_tiles = triton.cdiv(layout.size, _TILE), triton.cdiv(most, _TILE)
    moving = max(1, int(most * moved))
    product = {"N": _TILE, "K": _TILE, "E": _DEPTH, "num_warps": _WARPS}

    def begin(points: Tensor) -> Tensor:
        anchors = points.new_empty(total, points.shape[1])
        _begin[(clips * most,)](points, anchors, *layout.numbers, most, points.shape[1], WIDTH=_WIDTH, num_warps=1)
        return anchors

    def assign() -> None:
        _assign[(clips * tiles,)](
            points, anchors, labels, near, *layout.numbers, tiles, points.shape[1], **product
        )  # fmt: skip

    points = unit_rows(units, coarse)
    anchors = begin(points)
    for step in range(rounds):
        assign()
        if step == rounds - 1:
            points, anchors = units, begin(units)
        width = points.shape[1]
        _barycentres[(clips * most,)](
            points, anchors, labels, near, members, served, worst, *layout.numbers, most, width,
            MEMBERS=_MEMBERS, WIDTH=_WIDTH,
        )  # fmt: skip
        if step == rounds - 1:
            break
        _losses[(clips * anchor_tiles,)](
            anchors, served, others, losses, *layout.numbers, anchor_tiles, width, **product
        )  # fmt: skip
        _turns[(clips * anchor_tiles,)](
            losses, served, givers, takers, turns, *layout.numbers, anchor_tiles, K=_TILE
        )  # fmt: skip
        _move[(clips * moving,)](
            points, anchors, losses, served, worst, others, givers, takers, turns,
            *layout.numbers, moving, moved, width, WIDTH=_WIDTH, num_warps=1,
        )  # fmt: skip
    assign()
    return labels, near

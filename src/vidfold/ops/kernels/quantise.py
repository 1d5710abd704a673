"""`vidfold.ops.quantise` in kernels: anchors that move to where they serve most.

A round is five launches: the nearest anchor of each token, the barycentre of each anchor's tokens, and three of
`exchange`. The cosines of all tokens and anchors are never stored. An anchor finds its own tokens by a look at the
labels of its clip, which costs little beside the product.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.ops.kernels.channels import units as unit_rows
from vidfold.ops.kernels.clip import NUMBERS, SCAN, Layout, of_clip, own_tokens
from vidfold.ops.kernels.exchange import exchange
from vidfold.ops.kernels.rows import DEPTH, TILE, WARPS, copy_row, nearest
from vidfold.ops.quantise import CLOSE, ROUNDING, SAVED

_MEMBERS, _WIDTH = 16, 128
"""Tokens of an anchor at a time, and their channels."""
_CLOSE = tl.constexpr(CLOSE)
_SAVED = tl.constexpr(SAVED)
_SURE = tl.constexpr(1 - ROUNDING)


# fmt: off
@triton.jit
def _far(near):
    """1 - cos, at least 0."""
    return tl.minimum(tl.maximum(-near + _SURE, 0.0), 1.0)


@triton.jit(do_not_specialize=NUMBERS)
def _assign(
    points, anchors, labels, near, starts, lengths, total, frames, cells, tiles, channels,
    N: tl.constexpr, K: tl.constexpr, E: tl.constexpr,
):
    """The nearest anchor of a tile of tokens, and how near it is."""
    first, size, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * N + tl.arange(0, N)
    points += first * channels
    best, index = nearest(points, row, size, anchors + anchor * channels, count, channels, False, N, K, E)
    # The label K: a clip that keeps nothing.
    tl.store(labels + first + row, tl.where(count > 0, anchor + index, total).to(tl.int32), row < size)
    tl.store(near + first + row, best, row < size)


@triton.jit(do_not_specialize=NUMBERS)
def _begin(points, anchors, starts, lengths, total, frames, cells, most, channels, WIDTH: tl.constexpr):
    """An anchor on one of the tokens of a clip, evenly spread over them."""
    first, size, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    slot = tl.program_id(0) % most
    if slot >= count:
        return
    place = slot.to(tl.int64) * (size - 1) // tl.maximum(count - 1, 1)
    copy_row(points + (first + place) * channels, anchors + (anchor + slot) * channels, channels, WIDTH)


@triton.jit(do_not_specialize=NUMBERS)
def _barycentres(
    points, anchors, labels, near, members, served, worst, starts, lengths, total, frames, cells, most, channels,
    MEMBERS: tl.constexpr, WIDTH: tl.constexpr,
):
    """An anchor on the barycentre of its tokens, what they cost, and which of them is served worst."""
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
    points = unit_rows(units, coarse)
    anchors = _begun(points, layout)
    for step in range(rounds):
        labels, near = _assigned(points, anchors, layout)
        last = step == rounds - 1
        if last:
            points, anchors = units, _begun(units, layout)
        served, worst = _centred(points, anchors, labels, near, layout)
        if not last:
            exchange(points, anchors, served, worst, layout, moved)
    return _assigned(points, anchors, layout)


def _begun(points: Tensor, layout: Layout) -> Tensor:
    """Anchors (K, E) evenly spread over the points (F*N, E)."""
    width, most = points.shape[1], layout.most
    anchors = points.new_empty(layout.total, width)
    _begin[(layout.clips * most,)](points, anchors, *layout.numbers, most, width, WIDTH=_WIDTH, num_warps=1)
    return anchors


def _assigned(points: Tensor, anchors: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """The nearest anchor of each point, (F*N,) int32, and how near it is, (F*N,) float32."""
    (rows, width), tiles = points.shape, triton.cdiv(layout.size, TILE)
    labels, near = torch.empty(rows, dtype=torch.int32, device=points.device), points.new_empty(rows)
    _assign[(layout.clips * tiles,)](
        points, anchors, labels, near, *layout.numbers, tiles, width, N=TILE, K=TILE, E=DEPTH, num_warps=WARPS
    )
    return labels, near


def _centred(points: Tensor, anchors: Tensor, labels: Tensor, near: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Move anchors (K, E) in place to the barycentres of their points; `exchange` describes what is returned."""
    most, width = layout.most, points.shape[1]
    members, worst = torch.empty_like(labels), labels.new_empty(layout.total)
    served = near.new_empty(layout.total, 4)
    _barycentres[(layout.clips * most,)](
        points, anchors, labels, near, members, served, worst, *layout.numbers, most, width,
        MEMBERS=_MEMBERS, WIDTH=_WIDTH,
    )  # fmt: skip
    return served, worst

"""From labels to folded tokens, in kernels: every anchor gets a token, then becomes the mean of its tokens."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.ops.kernels.clip import NUMBERS, SCAN, Layout, of_clip, own_tokens

_TILE, _MEMBERS, _WIDTH = 64, 16, 256
"""Tokens or anchors at a time; tokens of an anchor at a time, their channels."""


# fmt: off
@triton.jit(do_not_specialize=NUMBERS)
def _best_served(labels, near, best, starts, lengths, total, frames, cells, most):
    """The nearest token of each anchor, of several the first, as a place in the clip; -1 where it has none."""
    first, size, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    if tl.program_id(0) % most >= count:
        return
    anchor += tl.program_id(0) % most
    highest, place = -float("inf"), -1
    for start in range(0, size, SCAN):
        own, token = own_tokens(labels, first, start, size, anchor)
        value = tl.load(near + first + token, own, -float("inf"))
        top, at = tl.max(value, 0, return_indices=True, return_indices_tie_break_left=True)
        place = tl.where(top > highest, start + at, place)
        highest = tl.maximum(top, highest)
    tl.store(best + anchor, place)


@triton.jit
def _spare(labels, near, best, first, token, size):
    """Whether tokens are not the nearest ones of their anchors, and how near they are."""
    label = tl.load(labels + first + token, token < size, 0)
    value = tl.load(near + first + token, token < size, float("inf"))
    return (token < size) & (tl.load(best + label, token < size, 0) != token), value, label


@triton.jit(do_not_specialize=NUMBERS)
def _fill(
    labels, near, best, new_labels, new_near, starts, lengths, total, frames, cells, tiles,
    N: tl.constexpr, K: tl.constexpr,
):
    """Every anchor without a token takes the worst served of the spare ones."""
    first, size, anchor, count = of_clip(tl.program_id(0) // tiles, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * N + tl.arange(0, N)
    empty = 0
    for start in range(0, count, SCAN):
        slot = start + tl.arange(0, SCAN)
        empty += tl.sum((tl.load(best + anchor + slot, slot < count, 0) < 0).to(tl.int32), 0)
    label = tl.load(labels + first + row, row < size, 0)
    value = tl.load(near + first + row, row < size, 0.0)
    taken = row < 0
    if empty > 0:
        spare, value, label = _spare(labels, near, best, first, row, size)
        rank = tl.zeros((N,), tl.int32)
        for start in range(0, size, K):
            token = start + tl.arange(0, K)
            rival, other, _ = _spare(labels, near, best, first, token, size)
            earlier = token[None, :] < row[:, None]
            worse = (other[None, :] < value[:, None]) | ((other[None, :] == value[:, None]) & earlier)
            rank += tl.sum((rival[None, :] & worse).to(tl.int32), 1)
        taken = spare & (rank < empty)
        found = 0
        for start in range(0, count, K):
            slot = start + tl.arange(0, K)
            void = (tl.load(best + anchor + slot, slot < count, 0) < 0).to(tl.int32)
            turn = found + tl.cumsum(void, 0) - 1
            chosen = taken[:, None] & (void > 0)[None, :] & (turn[None, :] == rank[:, None])
            given = tl.max(tl.where(chosen, slot[None, :], -1), 1)
            label = tl.where(given >= 0, (anchor + given).to(tl.int32), label)
            found += tl.sum(void, 0)
    tl.store(new_labels + first + row, label, row < size)
    tl.store(new_near + first + row, tl.where(taken, float("inf"), value), row < size)


@triton.jit(do_not_specialize=NUMBERS)
def _first_members(labels, near, members, spans, starts, lengths, total, frames, cells, most, close):
    """The tokens of each anchor, where they lie among the members, and the first of those that are nearest."""
    first, size, anchor, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    if tl.program_id(0) % most >= count:
        return
    anchor += tl.program_id(0) % most
    before, highest = 0, -float("inf")
    for start in range(0, size, SCAN):
        own, token = own_tokens(labels, first, start, size, anchor)
        before += tl.sum((tl.load(labels + first + token, token < size, total) < anchor).to(tl.int32), 0)
        highest = tl.maximum(highest, tl.max(tl.load(near + first + token, own, -float("inf")), 0))
    mass, place = 0, size
    for start in range(0, size, SCAN):
        own, token = own_tokens(labels, first, start, size, anchor)
        value = tl.load(near + first + token, own, -float("inf"))
        place = tl.minimum(place, tl.min(tl.where(own & (value >= highest - close), token, size), 0))
        tl.store(members + first + before + mass + tl.cumsum(own.to(tl.int32), 0) - 1, token, own)
        mass += tl.sum(own.to(tl.int32), 0)
    tl.store(spans + anchor * 3, before)
    tl.store(spans + anchor * 3 + 1, mass)
    tl.store(spans + anchor * 3 + 2, place)


@triton.jit(do_not_specialize=NUMBERS)
def _means(
    values, members, spans, tokens, places, targets, starts, lengths, total, frames, cells, most, channels,
    MEMBERS: tl.constexpr, WIDTH: tl.constexpr,
):
    """The mean of each anchor's tokens, its place, and its tokens' new label, in the order of the places."""
    first, _, offset, count = of_clip(tl.program_id(0) // most, starts, lengths, total, frames, cells)
    if tl.program_id(0) % most >= count:
        return
    anchor = offset + tl.program_id(0) % most
    before, mass = tl.load(spans + anchor * 3), tl.load(spans + anchor * 3 + 1)
    place = tl.load(spans + anchor * 3 + 2)
    target = offset
    for start in range(0, count, SCAN):
        slot = start + tl.arange(0, SCAN)
        other = tl.load(spans + (offset + slot) * 3 + 2, slot < count, place)
        target += tl.sum((other < place).to(tl.int32), 0)
    members += first + before
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    sums = tl.zeros((WIDTH,), tl.float32)
    for start in range(0, mass, MEMBERS):
        member = start + tl.arange(0, MEMBERS)
        token = first + tl.load(members + member, member < mass, 0)
        inside = (member < mass)[:, None] & (column < channels)[None, :]
        part = tl.load(values + token[:, None] * channels + column[None, :], inside, 0.0)
        sums += tl.sum(part.to(tl.float32), 0)
        if tl.program_id(1) == 0:
            tl.store(targets + token, target, member < mass)
    tl.store(tokens + target * channels + column, (sums / mass).to(tokens.dtype.element_ty), column < channels)
    if tl.program_id(1) == 0:
        tl.store(places + target, first + place)


# fmt: on
def means(values: Tensor, labels: Tensor, near: Tensor, layout: Layout, close: float) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of the tokens of each anchor, in order of their places.

    Anchors without a token take one first, see `vidfold.ops.quantise.quantise`. The place of an anchor is the nearest
    of its tokens; of those that are as near but for ``close`` the first.

    Args:
        values: (F*N, D) of any float dtype, contiguous.
        labels: (F*N,) int32, the anchor of each token.
        near: (F*N,) float32, how near it is.
        layout: of the clips.
        close: how much nearer counts as equally near.

    Returns:
        (K, D) of the dtype of the values; (K,) int64, the place f*N + cell of each; and (F*N,) int64, which of them
        each token went to, K in a clip that keeps nothing.
    """
    rows, channels = values.shape
    clips, most, total = layout.clips, layout.most, layout.total
    anchors, numbers = (clips * most,), (*layout.numbers, most)
    best = labels.new_empty(total)
    _best_served[anchors](labels, near, best, *numbers)
    filled, alone, tiles = torch.empty_like(labels), torch.empty_like(near), triton.cdiv(layout.size, _TILE)
    _fill[(clips * tiles,)](
        labels, near, best, filled, alone, *layout.numbers, tiles, N=_TILE, K=_TILE
    )  # fmt: skip
    members, spans = torch.empty_like(labels), labels.new_empty(total, 3)
    _first_members[anchors](filled, alone, members, spans, *numbers, close)
    tokens = values.new_empty(total, channels)
    places = torch.empty(total, dtype=torch.int64, device=values.device)
    targets = torch.full((rows,), total, dtype=torch.int64, device=values.device)
    _means[*anchors, triton.cdiv(channels, _WIDTH)](
        values, members, spans, tokens, places, targets, *numbers, channels, MEMBERS=_MEMBERS, WIDTH=_WIDTH
    )  # fmt: skip
    return tokens, places, targets

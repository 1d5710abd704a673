"""Tokens as they are compared, in kernels: `vidfold.ops.sketch` with unit length, and `vidfold.ops.locality`."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.ops.kernels.clip import NUMBERS, Layout, of_clip
from vidfold.ops.locality import PLACE, ROUNDING, TIME
from vidfold.tokens import Grid

_TILE = 2048
"""Numbers of a tile of rows; a row that is longer is a tile of its own."""
_PLACES = 6
"""Channels of time and place."""
_ALIGNED = 16
"""Rows are as long as a multiple of this, filled with zeros, so that several numbers can be loaded at once."""
_SURE = tl.constexpr(1 - ROUNDING)
_QUARTER = tl.constexpr(math.pi / 2)
_TIME, _PLACE = tl.constexpr(math.sqrt(TIME)), tl.constexpr(math.sqrt(PLACE))


# fmt: off
@triton.jit
def _sign(channel):
    """The sign of a channel in a sketch, as `vidfold.ops.sketch` has it."""
    value = (channel + 1).to(tl.int64)
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return 1 - 2 * ((value >> 16) & 1).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def _unit_rows(values, result, rows, channels, width, SIGNED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Sums of channels, those of a tile of rows, scaled to length 1."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    inside = (row < rows) & (column < width)
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for start in range(0, channels, width):
        channel = start + column
        part = tl.load(values + row * channels + channel, inside & (channel < channels), 0.0).to(tl.float32)
        if SIGNED:
            part *= _sign(channel)
        total += part
    norm = tl.sqrt_rn(tl.sum(total * total, 1))
    tl.store(result + row * width + column, total / tl.maximum(norm, 1e-12)[:, None], inside)


@triton.jit(do_not_specialize=["cells"])
def _frame_means(units, result, cells, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The mean of the tokens of a frame, some of its channels."""
    frame = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros((WIDTH,), tl.float32)
    for start in range(0, cells, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < cells)[:, None] & (column < channels)[None, :]
        part = tl.load(units + (frame * cells + row)[:, None] * channels + column[None, :], inside, 0.0)
        total += tl.sum(part, 0)
    tl.store(result + frame * channels + column, total / cells, column < channels)


@triton.jit
def _clip_weights(means, result, starts, lengths, locality, channels, FRAMES: tl.constexpr, WIDTH: tl.constexpr):
    """How much time and place weigh in a clip."""
    clip = tl.program_id(0)
    first = tl.load(starts + clip)
    length = tl.load(lengths + clip).to(tl.int32)
    square = 0.0
    for left in range(0, channels, WIDTH):
        column = left + tl.arange(0, WIDTH)
        total = tl.zeros((WIDTH,), tl.float32)
        for start in range(0, length, FRAMES):
            frame = start + tl.arange(0, FRAMES)
            inside = (frame < length)[:, None] & (column < channels)[None, :]
            part = tl.load(means + (first + frame)[:, None] * channels + column[None, :], inside, 0.0)
            total += tl.sum(part, 0)
        mean = total / length
        square += tl.sum(mean * mean, 0)
    tl.store(result + clip, locality * tl.maximum(-square + _SURE, 0.0))


@triton.jit
def _store_angle(at, place, length, radius, inside):
    """Cosine and sine, times the radius, of the point at a place of a quarter of a circle."""
    angle = place.to(tl.float32) / length * _QUARTER
    tl.store(at, radius * tl.cos(angle), inside)
    tl.store(at + 1, radius * tl.sin(angle), inside)


@triton.jit(do_not_specialize=[*NUMBERS, "grid_height", "grid_width"])
def _located(
    units, weights, result, starts, lengths, total, frames, cells, tiles, grid_height, grid_width, channels, width,
    PLACES: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):
    """A tile of tokens of a clip with channels for time and place."""
    clip = tl.program_id(0) // tiles
    first, size, _, _ = of_clip(clip, starts, lengths, total, frames, cells)
    row = tl.program_id(0) % tiles * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    weight = tl.load(weights + clip)
    scale = 1 / tl.sqrt_rn(1 + weight)
    source = units + (first + row)[:, None] * channels + column[None, :]
    target = result + (first + row) * width
    inside = row < size
    unit = tl.load(source, inside[:, None] & (column < channels)[None, :], 0.0)
    # The last channels are for time and place, and then zeros.
    free = (column < channels) | (column >= channels + PLACES)
    tl.store(target[:, None] + column[None, :], unit * scale, inside[:, None] & (free & (column < width))[None, :])
    radius, cell, place = scale * tl.sqrt_rn(weight), row % cells, target + channels
    _store_angle(place, row // cells, size // cells, radius * _TIME, inside)
    _store_angle(place + 2, cell // grid_width, grid_height, radius * _PLACE, inside)
    _store_angle(place + 4, cell % grid_width, grid_width, radius * _PLACE, inside)


# fmt: on
def units(values: Tensor, width: int | None) -> Tensor:
    """Tokens (S, D) of any float dtype, contiguous, as rows of length 1 or 0 in at most so many channels.

    The same as `vidfold.ops.sketch.sketch` and then `torch.nn.functional.normalize`; None: all channels.

    Returns:
        (S, E) float32.
    """
    rows, channels = values.shape
    width = min(channels, width or channels)
    result = torch.empty(rows, width, dtype=torch.float32, device=values.device)
    tile_rows, tile_width = _tile(width)
    _unit_rows[(triton.cdiv(rows, tile_rows),)](
        values, result, rows, channels, width, SIGNED=width < channels, ROWS=tile_rows, WIDTH=tile_width
    )
    return result


def located(units: Tensor, layout: Layout, grid: Grid, locality: float) -> Tensor:
    """`vidfold.ops.locality.located` of tokens (F*N, E) float32.

    Returns:
        (F*N, E') float32, with E' the multiple of 16 that follows E + 6; channels beyond E + 6 are 0.
    """
    rows, channels = units.shape
    width = triton.cdiv(channels + _PLACES, _ALIGNED) * _ALIGNED
    means, weights = units.new_empty(layout.frames, channels), units.new_empty(layout.clips)
    across = layout.frames, triton.cdiv(channels, 64)
    _frame_means[across](units, means, layout.cells, channels, ROWS=32, WIDTH=64)
    spans = layout.starts, layout.lengths
    _clip_weights[(layout.clips,)](means, weights, *spans, locality, channels, FRAMES=8, WIDTH=256)
    result = units.new_empty(rows, width)
    tile_rows, tile_width = _tile(width)
    tiles = triton.cdiv(layout.size, tile_rows)
    _located[(layout.clips * tiles,)](
        units, weights, result, *layout.numbers, tiles, *grid, channels, width,
        PLACES=_PLACES, ROWS=tile_rows, WIDTH=tile_width,
    )  # fmt: skip
    return result


def _tile(width: int) -> tuple[int, int]:
    """Rows and columns of a tile of whole rows."""
    columns = triton.next_power_of_2(width)
    return max(1, _TILE // columns), columns

"""Steps inside of kernels that work on rows of matrices: the nearest anchor of points, and a copy."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from vidfold.ops.quantise import NEVER

TILE, DEPTH, WARPS = 64, 32, 8
"""Points and anchors of a product at a time, their channels, and its warps: with fewer, registers do not suffice."""
_NEVER = tl.constexpr(NEVER)


# fmt: off
@triton.jit
def nearest(
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


@triton.jit
def copy_row(source, target, channels, WIDTH: tl.constexpr):
    """Copy a row."""
    for start in range(0, channels, WIDTH):
        column = start + tl.arange(0, WIDTH)
        tl.store(target + column, tl.load(source + column, column < channels, 0.0), column < channels)

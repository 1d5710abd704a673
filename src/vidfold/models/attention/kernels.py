"""`received` fused into two Triton kernels that keep every score in registers.

The first kernel computes, for every query, its highest score and the sum of the exponentials relative to it, in a loop
over the keys. The second has one program for each tile of keys: it loops over the queries of all heads that share them
and sums the weights of each column. Every sum has one program and one order, without atomics, so every run gives the
same result. Scores are computed twice and never stored. (The log-sum-exp alone, one number per query, would not do:
next to a large score it loses the digits of the logarithm.)
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor


# fmt: off
@triton.jit
def _scores(q, k, scale, m, n, window_m, window_n, queries, keys, PACKED: tl.constexpr):
    """Scores of a tile in float32, -inf where a query may not attend or there is none."""
    scores = tl.dot(q, k, input_precision="ieee") * scale
    allowed = (m < queries)[:, None] & (n < keys)[None, :]
    if PACKED:
        # A window is identified by its first token.
        allowed &= window_m[:, None] == window_n[None, :]
    return tl.where(allowed, scores, float("-inf"))


@triton.jit
def _tile(matrix, row, column, rows, columns, row_stride, column_stride):
    """A tile (rows, columns) of a matrix, 0 outside of it."""
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    offsets = row.to(tl.int64)[:, None] * row_stride + column.to(tl.int64)[None, :] * column_stride
    return tl.load(matrix + offsets, mask=inside, other=0.0)


@triton.jit
def _row_sums(
    query, key, starts, ends, tops, totals, scale, heads, groups, queries, keys, channels,
    query_f, query_h, query_m, query_e, key_f, key_h, key_n, key_e,
    PACKED: tl.constexpr, M: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):
    f, h = (tl.program_id(0) // heads).to(tl.int64), (tl.program_id(0) % heads).to(tl.int64)
    query += f * query_f + h * query_h
    key += f * key_f + h // groups * key_h
    m, e = tl.program_id(1) * M + tl.arange(0, M), tl.arange(0, E)
    q = _tile(query, m, e, queries, channels, query_m, query_e)
    first, last, window_m = 0, keys, m
    if PACKED:
        window_m = tl.load(starts + m, mask=m < queries, other=queries)
        first, last = tl.min(window_m, 0), tl.max(tl.load(ends + m, mask=m < queries, other=0), 0)
    top = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    for begin in range(first, last, N):
        n = begin + tl.arange(0, N)
        k = _tile(key, e, n, channels, keys, key_e, key_n)
        window_n = n
        if PACKED:
            window_n = tl.load(starts + n, mask=n < keys, other=keys)
        scores = _scores(q, k, scale, m, n, window_m, window_n, queries, keys, PACKED)
        higher = tl.maximum(top, tl.max(scores, 1))
        # A row without a score so far has the top -inf: use 0 instead, to avoid -inf - -inf.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(top - base) + tl.sum(tl.exp(scores - base[:, None]), 1)
        top = higher
    row = (f * heads + h) * queries + m
    tl.store(tops + row, top, mask=m < queries)
    tl.store(totals + row, total, mask=m < queries)


@triton.jit
def _column_sums(
    query, key, starts, ends, tops, totals, result, scale, heads, groups, queries, keys, channels,
    query_f, query_h, query_m, query_e, key_f, key_h, key_n, key_e,
    PACKED: tl.constexpr, M: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):
    shared = heads // groups
    f, owner = (tl.program_id(0) // shared).to(tl.int64), (tl.program_id(0) % shared).to(tl.int64)
    n, e = tl.program_id(1) * N + tl.arange(0, N), tl.arange(0, E)
    k = _tile(key + f * key_f + owner * key_h, e, n, channels, keys, key_e, key_n)
    first, last, window_n = 0, queries, n
    if PACKED:
        window_n = tl.load(starts + n, mask=n < keys, other=keys)
        first, last = tl.min(window_n, 0), tl.max(tl.load(ends + n, mask=n < keys, other=0), 0)
    total = tl.zeros([N], tl.float32)
    for group in range(groups):
        h = owner * groups + group
        rows = query + f * query_f + h * query_h
        for begin in range(first, last, M):
            m = begin + tl.arange(0, M)
            q = _tile(rows, m, e, queries, channels, query_m, query_e)
            window_m = m
            if PACKED:
                window_m = tl.load(starts + m, mask=m < queries, other=queries)
            scores = _scores(q, k, scale, m, n, window_m, window_n, queries, keys, PACKED)
            row = (f * heads + h) * queries + m
            row_top = tl.load(tops + row, mask=m < queries, other=float("inf"))
            row_total = tl.load(totals + row, mask=m < queries, other=1.0)
            weights = tl.exp(scores - row_top[:, None]) * (1.0 / row_total)[:, None]
            if PACKED:
                # Keep NaN of one window out of the others.
                weights = tl.where(window_m[:, None] == window_n[None, :], weights, 0.0)
            total += tl.sum(weights, 0)
    tl.store(result + (f * shared + owner) * keys + n, total, mask=n < keys)


# fmt: on
@torch.library.custom_op("vidfold::received", mutates_args=())
def _fused(query: Tensor, key: Tensor, scale: float, lengths: Tensor | None) -> Tensor:
    frames, heads, queries, channels = query.shape
    shared, keys = key.shape[1:3]
    tops, totals = torch.empty(2, frames, heads, queries, dtype=torch.float32, device=query.device)
    result = torch.empty(frames, shared, keys, dtype=torch.float32, device=query.device)
    if 0 in (frames, queries, keys):
        return result.zero_().sum(1)
    starts, ends = (query, query) if lengths is None else _windows(lengths, keys)
    numbers = scale, heads, heads // shared, queries, keys, channels, *query.stride(), *key.stride()
    width = max(16, triton.next_power_of_2(channels))
    # Tiles of 16 KiB: three of them fit the shared memory of small GPUs too.
    tile = max(16, min(64, 16384 // (width * query.element_size())))
    settings = {"PACKED": lengths is not None, "M": tile, "N": tile, "E": width}
    rows = frames * heads, triton.cdiv(queries, tile)
    _row_sums[rows](query, key, starts, ends, tops, totals, *numbers, **settings)
    columns = frames * shared, triton.cdiv(keys, tile)
    _column_sums[columns](query, key, starts, ends, tops, totals, result, *numbers, **settings)
    total = result.sum(1).div_(heads)
    if lengths is not None:
        # Lengths on a device are not read back: wrong ones give NaN.
        total = total.where(lengths.sum() == keys, torch.nan)
    return total


@_fused.register_fake
def _(query: Tensor, key: Tensor, scale: float, lengths: Tensor | None) -> Tensor:
    return query.new_empty(key.shape[0], key.shape[2], dtype=torch.float32)


def _windows(lengths: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """First token, and one beyond the last, of every token's window: two (tokens,) int32."""
    ends = lengths.cumsum(0)
    window = torch.searchsorted(ends, torch.arange(tokens, device=lengths.device), right=True)
    window = window.clamp(max=len(lengths) - 1)
    return (ends - lengths)[window].int(), ends[window].int().clamp(max=tokens)


def column_sums(query: Tensor, key: Tensor, scale: float, lengths: Tensor | None) -> Tensor:
    """`vidfold.models.attention.received.received` of checked arguments.

    torch.compile keeps it as one operator, ``vidfold::received``.

    Raises:
        ValueError: tensors that are not on a GPU, outside of Triton's interpreter.
    """
    compiled = isinstance(_row_sums, triton.runtime.JITFunction)
    if compiled and not query.is_cuda:
        raise ValueError(
            f"backend='triton' runs on a GPU, got tensors on {query.device}: backend='torch' runs anywhere"
        )
    # Triton's interpreter computes with the bits of bfloat16, not its values.
    wrong = query.dtype == torch.bfloat16 and not compiled
    if query.dtype != key.dtype or query.dtype == torch.float64 or wrong:
        query, key = query.float(), key.float()
    result: Tensor = _fused(query, key, scale, lengths)
    return result

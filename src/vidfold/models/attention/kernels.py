"""`received` fused into two Triton kernels that keep every score in registers.

The first kernel computes, for every query, its highest score and the sum of the exponentials relative to it, in a loop
over the keys. The second has one program for each tile of keys: it loops over the queries of all heads that share them
and sums the weights of each column. Every sum has one program and one order, without atomics, so every run gives the
same result. Scores are computed twice and never stored. (The log-sum-exp alone, one number per query, would not do:
under an additive mask of the lowest float it loses the logarithm.)
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor


# fmt: off
@triton.jit
def _scores(
    q, k, scale, mask, m, n, window_m, window_n, queries, keys, mask_m, mask_n,
    MASK: tl.constexpr, PACKED: tl.constexpr,
):
    """Scores of a tile in float32, -inf where a query may not attend or there is none."""
    scores = tl.dot(q, k, input_precision="ieee") * scale
    allowed = (m < queries)[:, None] & (n < keys)[None, :]
    if PACKED:
        # A window is identified by its first token.
        allowed &= window_m[:, None] == window_n[None, :]
    if MASK != "none":
        where = mask + m.to(tl.int64)[:, None] * mask_m + n.to(tl.int64)[None, :] * mask_n
        if MASK == "boolean":
            allowed &= tl.load(where, mask=allowed, other=0) != 0
        else:
            scores += tl.load(where, mask=allowed, other=0.0).to(tl.float32)
    return tl.where(allowed, scores, float("-inf"))


@triton.jit
def _queries(query, m, e, queries, channels, query_m, query_e):
    """A tile (M, E) of queries."""
    inside = (m < queries)[:, None] & (e < channels)[None, :]
    return tl.load(query + m.to(tl.int64)[:, None] * query_m + e[None, :] * query_e, mask=inside, other=0.0)


@triton.jit
def _keys(key, n, e, keys, channels, key_n, key_e):
    """A tile (E, N) of keys."""
    inside = (e < channels)[:, None] & (n < keys)[None, :]
    return tl.load(key + n.to(tl.int64)[None, :] * key_n + e[:, None] * key_e, mask=inside, other=0.0)


@triton.jit
def _row_sums(
    query, key, mask, starts, ends, tops, totals, scale, heads, groups, queries, keys, channels,
    query_f, query_h, query_m, query_e, key_f, key_h, key_n, key_e, mask_f, mask_h, mask_m, mask_n,
    MASK: tl.constexpr, PACKED: tl.constexpr, M: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):
    f, h = (tl.program_id(0) // heads).to(tl.int64), (tl.program_id(0) % heads).to(tl.int64)
    query += f * query_f + h * query_h
    key += f * key_f + h // groups * key_h
    mask += f * mask_f + h * mask_h
    m, e = tl.program_id(1) * M + tl.arange(0, M), tl.arange(0, E)
    q = _queries(query, m, e, queries, channels, query_m, query_e)
    first, last, window_m = 0, keys, m
    if PACKED:
        window_m = tl.load(starts + m, mask=m < queries, other=queries)
        first, last = tl.min(window_m, 0), tl.max(tl.load(ends + m, mask=m < queries, other=0), 0)
    top = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    for begin in range(first, last, N):
        n = begin + tl.arange(0, N)
        k = _keys(key, n, e, keys, channels, key_n, key_e)
        window_n = n
        if PACKED:
            window_n = tl.load(starts + n, mask=n < keys, other=keys)
        scores = _scores(q, k, scale, mask, m, n, window_m, window_n, queries, keys, mask_m, mask_n, MASK, PACKED)
        higher = tl.maximum(top, tl.max(scores, 1))
        # A row without a score so far has the top -inf: use 0 instead, to avoid -inf - -inf.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(top - base) + tl.sum(tl.exp(scores - base[:, None]), 1)
        top = higher
    # The top of a query that may attend to nothing is set to inf, so that all its weights are 0.
    nothing = total == 0.0
    row = (f * heads + h) * queries + m
    tl.store(tops + row, tl.where(nothing, float("inf"), top), mask=m < queries)
    tl.store(totals + row, tl.where(nothing, 1.0, total), mask=m < queries)


@triton.jit
def _column_sums(
    query, key, mask, starts, ends, tops, totals, result, scale, heads, groups, queries, keys, channels,
    query_f, query_h, query_m, query_e, key_f, key_h, key_n, key_e, mask_f, mask_h, mask_m, mask_n,
    MASK: tl.constexpr, PACKED: tl.constexpr, M: tl.constexpr, N: tl.constexpr, E: tl.constexpr,
):
    shared = heads // groups
    f, owner = (tl.program_id(0) // shared).to(tl.int64), (tl.program_id(0) % shared).to(tl.int64)
    n, e = tl.program_id(1) * N + tl.arange(0, N), tl.arange(0, E)
    k = _keys(key + f * key_f + owner * key_h, n, e, keys, channels, key_n, key_e)
    first, last, window_n = 0, queries, n
    if PACKED:
        window_n = tl.load(starts + n, mask=n < keys, other=keys)
        first, last = tl.min(window_n, 0), tl.max(tl.load(ends + n, mask=n < keys, other=0), 0)
    total = tl.zeros([N], tl.float32)
    for group in range(groups):
        h = owner * groups + group
        rows, row_mask = query + f * query_f + h * query_h, mask + f * mask_f + h * mask_h
        for begin in range(first, last, M):
            m = begin + tl.arange(0, M)
            q = _queries(rows, m, e, queries, channels, query_m, query_e)
            window_m = m
            if PACKED:
                window_m = tl.load(starts + m, mask=m < queries, other=queries)
            scores = _scores(
                q, k, scale, row_mask, m, n, window_m, window_n, queries, keys, mask_m, mask_n, MASK, PACKED
            )
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
def _fused(query: Tensor, key: Tensor, scale: float, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    frames, heads, queries, channels = query.shape
    shared, keys = key.shape[1:3]
    tops, totals = torch.empty(2, frames, heads, queries, dtype=torch.float32, device=query.device)
    result = torch.empty(frames, shared, keys, dtype=torch.float32, device=query.device)
    if 0 in (frames, queries, keys):
        return result.zero_().sum(1)
    starts, ends = (query, query) if lengths is None else _windows(lengths, keys)
    kind = "none" if mask is None else "boolean" if mask.dtype == torch.bool else "additive"
    given = query if mask is None else mask.view(torch.uint8) if kind == "boolean" else mask
    strides = (*query.stride(), *key.stride(), *((0,) * 4 if mask is None else mask.stride()))
    numbers = scale, heads, heads // shared, queries, keys, channels, *strides
    width = max(16, triton.next_power_of_2(channels))
    # Tiles of 16 KiB: three of them fit the shared memory of small GPUs too.
    tile = max(16, min(64, 16384 // (width * query.element_size())))
    settings = {"MASK": kind, "PACKED": lengths is not None, "M": tile, "N": tile, "E": width}
    rows = frames * heads, triton.cdiv(queries, tile)
    _row_sums[rows](query, key, given, starts, ends, tops, totals, *numbers, **settings)
    columns = frames * shared, triton.cdiv(keys, tile)
    _column_sums[columns](query, key, given, starts, ends, tops, totals, result, *numbers, **settings)
    total = result.sum(1).div_(heads)
    if lengths is not None:
        # Lengths on a device are not read back: wrong ones give NaN.
        total = total.where(lengths.sum() == keys, torch.nan)
    return total


@_fused.register_fake
def _(query: Tensor, key: Tensor, scale: float, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    return query.new_empty(key.shape[0], key.shape[2], dtype=torch.float32)


def _windows(lengths: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """First token, and one beyond the last, of every token's window: two (tokens,) int32."""
    ends = lengths.cumsum(0)
    window = torch.searchsorted(ends, torch.arange(tokens, device=lengths.device), right=True)
    window = window.clamp(max=len(lengths) - 1)
    return (ends - lengths)[window].int(), ends[window].int().clamp(max=tokens)


def column_sums(query: Tensor, key: Tensor, scale: float, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    """`vidfold.models.attention.received.received` of checked arguments, the mask expanded to (F, H, M, N).

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
    result: Tensor = _fused(query, key, scale, mask, lengths)
    return result

"""Attention that every token of a vision layer receives, computed without an attention matrix in memory.

`received` turns queries and keys into one number per token. `vidfold.models.attention.observing` gives the queries and
keys of a running tower.
"""

import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["torch", "triton"]
HAS_TRITON = importlib.util.find_spec("triton") is not None

CPU_BLOCK = 1 << 19
"""Scores at a time on a CPU: 2 MiB in float32, which stays in the cache. On one thread 2**18 to 2**20 differ by
less than 10 %; 2**16 and 2**22 take a fifth longer."""
DEVICE_BLOCK = 1 << 25
"""Scores at a time elsewhere: 128 MiB in float32, few launches and a small share of the memory."""


@torch.no_grad()
def received(
    query: Tensor,
    key: Tensor,
    scale: float | None = None,
    *,
    lengths: Sequence[int] | Tensor | None = None,
    block: int | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Attention each key receives: softmax(q·kᵀ·scale) summed over queries, mean over query heads.

    Everything is computed in float32, and every run gives the same result. Memory beyond the result:

    - ``"torch"``: O(block), whatever the number of frames and tokens: two float32 buffers of ``block`` scores each (or
      of one query row of one frame and head, where that is larger), and float32 copies of the queries and keys at work,
      no larger than one of the buffers (or than the keys of one frame and head).
    - ``"triton"``: two float32 for every query and one for every key, of every frame and head, and no score.

    Args:
        query: (F, H, M, E) of any float dtype and layout.
        key: (F, K, N, E) on the same device; K divides H, and query head h attends to key head h // (H / K), as
            transformers orders grouped heads.
        scale: of the products; None is ``E ** -0.5``.
        lengths: of windows that follow one another in a single row, F = 1 and M = N: tokens attend within their own
            window. ``"triton"`` does not read them back from a GPU: its result is NaN if they do not sum to N.
        block: scores in memory at a time for ``"torch"``; None is `CPU_BLOCK` or `DEVICE_BLOCK`.
        backend: ``"torch"``, ``"triton"`` (fused, on a GPU or in Triton's interpreter) or None: Triton for tensors on a
            GPU if it is installed, else torch.

    Returns:
        (F, N) float32 without gradient. Every row sums to M. NaN in a frame (or window) gives NaN in that frame (or
        window) only.

    Raises:
        ValueError: shapes or devices that do not fit together, lengths that do not sum to N, an unknown backend or one
            that cannot run here.
    """
    if backend is None:
        backend = "triton" if query.is_cuda and HAS_TRITON else "torch"
    _check(query, key, lengths, readable=backend == "torch")
    scale = query.shape[3] ** -0.5 if scale is None else scale
    if block is None:
        block = CPU_BLOCK if query.device.type == "cpu" else DEVICE_BLOCK
    if block < 1:
        raise ValueError(f"block must be at least 1 score, got {block}")
    if backend == "triton":
        if not HAS_TRITON:
            raise ValueError("backend='triton' needs triton, which is not installed here: pip install triton")
        from vidfold.models.attention.kernels import column_sums

        windows = None if lengths is None else torch.as_tensor(lengths, device=query.device)
        return column_sums(query, key, scale, windows)
    if backend != "torch":
        raise ValueError(f"backend must be 'torch', 'triton' or None, got {backend!r}")
    with torch.autocast(query.device.type, enabled=False):
        if lengths is None:
            return _in_blocks(query, key, scale, block)
        return _in_windows(query, key, scale, lengths, block)


def _in_blocks(query: Tensor, key: Tensor, scale: float, block: int) -> Tensor:
    frames, heads, queries, channels = query.shape
    shared, keys = key.shape[1:3]
    groups = heads // shared
    query = query.view(frames, shared, groups, queries, channels)
    # As many whole maps as fit the block, else a part of one.
    rows = max(1, block // max(1, keys))
    maps = max(1, block // (max(groups * queries, channels) * max(keys, channels)))
    sizes = maps // shared, maps, rows // max(1, queries), rows
    f, h, g, m = (max(1, min(size, most)) for size, most in zip(sizes, query.shape, strict=False))
    buffers = torch.empty(2, f * h * g * m * keys, dtype=torch.float32, device=query.device)
    total = torch.zeros(frames, keys, dtype=torch.float32, device=query.device)
    for these, those in itertools.product(_parts(frames, f), _parts(shared, h)):
        columns = key[these, those].float().flatten(0, 1).transpose(1, 2)
        for group, part in itertools.product(_parts(groups, g), _parts(queries, m)):
            tile = query[these, those, group, part]
            shape = (*tile.shape[:4], keys)
            scores, weights = (each[: tile.shape[:4].numel() * keys].view(shape) for each in buffers)
            products = scores.view(len(columns), -1, keys)
            products.baddbmm_(tile.float().flatten(2, 3).flatten(0, 1), columns, beta=0, alpha=scale)
            torch.softmax(scores, -1, out=weights)
            total[these] += weights.flatten(1, 3).sum(1)
    return total.div_(heads)


def _in_windows(query: Tensor, key: Tensor, scale: float, lengths: Sequence[int] | Tensor, block: int) -> Tensor:
    windows = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    total = torch.empty(1, key.shape[2], dtype=torch.float32, device=query.device)
    first = 0
    # Neighbouring windows of one length are computed as one batch, without a copy.
    for length, run in itertools.groupby(length for length in windows if length):
        count = sum(1 for _ in run)
        last = first + count * length
        rows, columns = (
            each[0, :, first:last].view(-1, count, length, each.shape[3]).transpose(0, 1) for each in (query, key)
        )
        total[0, first:last] = _in_blocks(rows, columns, scale, block).flatten()
        first = last
    return total


def _parts(length: int, step: int) -> Iterator[slice]:
    return (slice(first, first + step) for first in range(0, length, step))


def _check(query: Tensor, key: Tensor, lengths: Sequence[int] | Tensor | None, *, readable: bool) -> None:
    fit = query.ndim == key.ndim == 4 and (query.shape[0], query.shape[3]) == (key.shape[0], key.shape[3])
    if not fit or not key.shape[1] or query.shape[1] % key.shape[1]:
        raise ValueError(
            "received attention needs (frames, heads, tokens, channels) queries and keys of equal frames and channels, "
            f"and key heads that divide the query heads, got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    if not query.is_floating_point() or not key.is_floating_point():
        raise ValueError(f"queries and keys must be of a float dtype, got {query.dtype} and {key.dtype}")
    if query.device != key.device:
        raise ValueError(f"queries and keys must be on one device, got {query.device} and {key.device}")
    if lengths is None:
        return
    keys = key.shape[2]
    if len(query) != 1 or query.shape[2] != keys:
        raise ValueError(
            "windows are packed in one frame of as many queries as keys, "
            f"got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    if isinstance(lengths, Tensor):
        if lengths.ndim != 1 or lengths.dtype.is_floating_point or lengths.dtype == torch.bool:
            raise ValueError(f"lengths must be (windows,) integers, got {tuple(lengths.shape)} {lengths.dtype}")
        if lengths.is_cuda and len(lengths) and not readable:
            return
        lengths = lengths.tolist()
    if sum(lengths) != keys or any(length < 0 for length in lengths):
        raise ValueError(f"lengths of windows must be at least 0 and sum to {keys} tokens, got {list(lengths)}")

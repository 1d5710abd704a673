"""Attention that every token of a vision layer receives, without an attention matrix in memory.

Two steps, apart from one another: `observe` shows the queries and keys of chosen attention modules while a tower runs
on its own attention path (SDPA, flash or eager, as it was loaded); `received` turns queries and keys into one number a
token. Queries and keys are seen where the tower hands them to its attention function, after rotary embedding and
query/key norm, so the same two functions serve every tower of transformers that attends through its registry.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Observer = Callable[[Tensor, Tensor, float], None]
"""Called with queries (B, H, M, E), keys (B, H, N, E) and the scale of their products."""

CPU_BLOCK = 1 << 20
"""Scores at a time on a CPU: 4 MiB in float32, which stays in the cache (2**18 to 2**21 are within 15 % of one another
on one thread, 2**24 takes two and a half to five times as long)."""
DEVICE_BLOCK = 1 << 25
"""Scores at a time elsewhere: 128 MiB in float32, few launches and a small share of the memory."""

# Observed modules are changed for as long as they are observed: one thread at a time.
_LOCK = threading.RLock()


@torch.no_grad()
def received(query: Tensor, key: Tensor, scale: float | None = None, *, block: int | None = None) -> Tensor:
    """Attention each key receives: softmax(q·kᵀ·scale) summed over queries, mean over heads.

    Everything is computed in float32, whatever is given. Memory beyond a copy of queries and keys is O(block): two
    float32 buffers of ``block`` scores each, or of one query row of one frame and head where that is larger.

    Args:
        query: (F, H, M, E) of any float dtype.
        key: (F, H, N, E).
        scale: of the products; None is ``E ** -0.5``.
        block: scores in memory at a time; None is `CPU_BLOCK` or `DEVICE_BLOCK`.

    Returns:
        (F, N) float32; every row sums to M.

    Raises:
        ValueError: shapes that do not fit, among them fewer key than query heads.
    """
    if query.ndim != 4 or key.ndim != 4 or query.shape[:2] != key.shape[:2] or query.shape[3] != key.shape[3]:
        raise ValueError(
            "received attention needs (frames, heads, tokens, channels) queries and keys of equal frames, heads and "
            f"channels, got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    if block is None:
        block = CPU_BLOCK if query.device.type == "cpu" else DEVICE_BLOCK
    if block < 1:
        raise ValueError(f"block must be at least 1 score, got {block}")
    frames, heads, queries, channels = query.shape
    keys = key.shape[2]
    rows = query.flatten(0, 1)
    columns = key.flatten(0, 1).transpose(1, 2)
    scale = channels**-0.5 if scale is None else scale
    total = torch.zeros(frames * heads, keys, dtype=torch.float32, device=query.device)
    maps = max(1, block // (queries * keys))
    height = min(queries, max(1, block // keys))
    for first in range(0, frames * heads, maps):
        part = slice(first, first + maps)
        for row in range(0, queries, height):
            scores = torch.bmm(rows[part, row : row + height].float() * scale, columns[part].float())
            total[part] += scores.softmax(-1).sum(1)
    return total.view(frames, heads, keys).mean(1)


@contextmanager
def observe(observers: Sequence[tuple[nn.Module, Observer]]) -> Iterator[None]:
    """Show the queries and keys of attention modules of one tower while the block runs.

    In this thread, a module under observation finds in its config an attention implementation of its own name, which
    is its former one with the observer in front. Everything else in the tower, in the model and in the process runs as
    before, in other threads the module too, and at the end, also after an exception, config and registry are as they
    were. A second observation in another thread waits until the first has ended.

    Args:
        observers: pairs of an attention module and what to call with its queries, keys and scale; a module may come
            twice.

    Raises:
        ValueError: a module that does not attend through the registry of transformers.
    """
    with ExitStack() as stack:
        if observers:
            stack.enter_context(_LOCK)
        for module, observer in observers:
            stack.enter_context(_observed(module, observer))
        yield


@contextmanager
def _observed(module: nn.Module, observer: Observer) -> Iterator[None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config: Any = getattr(module, "config", None)
    name = getattr(config, "_attn_implementation", None)
    if name is None:
        raise ValueError(f"{type(module).__name__} names no attention implementation in its config: cannot observe it")
    attend = _eager(module) if name == "eager" else ALL_ATTENTION_FUNCTIONS[name]
    # Attention functions read the config too: they are handed the module as it was.
    former = copy.copy(module)

    # Arguments are named as transformers names them: some towers pass the mask by keyword.
    def attention(
        _: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> Any:
        if attention_mask is not None:
            raise ValueError(
                f"{type(module).__name__} attends under a mask of shape {tuple(attention_mask.shape)}: "
                "attention received is only defined here for towers without one"
            )
        scale = settings.get("scaling")
        observer(query, key, query.shape[-1] ** -0.5 if scale is None else scale)
        return attend(former, query, key, value, attention_mask, **settings)

    # The former name stays part of the new one: towers look for "flash" in it.
    observed = f"{name}_observed_{id(attention)}"
    ALL_ATTENTION_FUNCTIONS[observed] = attention
    view: Any = _Config(config, observed)
    module.config = view
    try:
        yield
    finally:
        module.config = config
        del ALL_ATTENTION_FUNCTIONS[observed]


class _Config:
    """A module's config that names another attention implementation to the thread that made it."""

    def __init__(self, config: Any, implementation: str) -> None:
        self._config, self._implementation, self._thread = config, implementation, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    @property
    def _attn_implementation(self) -> str:
        mine = threading.get_ident() == self._thread
        return self._implementation if mine else str(self._config._attn_implementation)


def _eager(module: nn.Module) -> Callable[..., Any]:
    """The eager attention function, which transformers defines beside the module and keeps out of its registry."""
    function: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise ValueError(
            f"{type(module).__name__} is loaded with eager attention, but {type(module).__module__} has no "
            "eager_attention_forward: load the model with attn_implementation='sdpa'"
        )
    return function


def layer_index(name: str, index: int, depth: int) -> int:
    """Position 0..depth-1 of a layer given as an index, negative ones counted from the end.

    Raises:
        ValueError: no such layer; the message names the field ``name``.
    """
    if isinstance(index, bool) or not isinstance(index, int) or not -depth <= index < depth:
        raise ValueError(
            f"{name} must be an integer from {-depth} to {depth - 1} in a tower of {depth} layers, got {index!r}"
        )
    return index % depth

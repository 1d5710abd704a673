"""What layers of a vision tower of vLLM attend with: attention received and keys, without attention matrices."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vidfold.models.attention.received import received

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over the ranks of tensor parallelism."""


@contextmanager
def attended(modules: Mapping[str, nn.Module], ranks: int, reduce: Reduce) -> Iterator[dict[str, Tensor]]:
    """What attention modules are called with while the block runs.

    Args:
        modules: name -> vLLM's attention module of a layer, called with queries and keys (B, N, H*E) after anything
            that is done to them, for the heads of this rank.
        ranks: among which the heads are shared.
        reduce: sums over them; not called for one rank.

    Yields:
        By the same names, once the block has run: where the name is "keys" the keys (B, N, E), mean over all heads,
        else the attention that every key receives, (B, N) float32, of all heads.
    """
    seen: dict[str, Tensor] = {}

    def watching(name: str) -> Any:
        def hook(module: Any, arguments: tuple[Tensor, ...]) -> None:
            query, key = (each.unflatten(-1, (-1, module.head_size)) for each in arguments[:2])  # type: ignore[no-untyped-call]
            if name == "keys":
                mean = key.mean(2)
            else:
                mean = received(query.transpose(1, 2), key.transpose(1, 2), module.scale)
            seen[name] = mean if ranks == 1 else reduce(mean.float()) / ranks

        return hook

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_pre_hook(watching(name)).remove)
        with torch.no_grad():
            yield seen

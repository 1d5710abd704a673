"""What a model's own calls are given and return, when their prompt is shortened on the way."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from vidfold.models.base import Inputs
from vidfold.models.cache import cache_of


def named(model: Any, method: str, args: tuple[Any, ...], kwargs: Inputs) -> dict[str, Any]:
    """All arguments of a call of a model's method by name."""
    signature = inspect.signature(getattr(type(model), method))
    given = dict(signature.bind_partial(model, *args, **kwargs).arguments)
    more: dict[str, Any] = given.pop("kwargs", {})
    del given["self"]
    return given | more


def cached(inputs: Inputs) -> int:
    """Tokens in the cache that a call brings along."""
    cache = cache_of(inputs)
    return 0 if cache is None else int(cache.get_seq_length())


def lengths(inputs: Inputs, default: Any, dropped: int) -> dict[str, int]:
    """``max_length`` and ``min_length`` of a call for a prompt that lost tokens: callers count the one they gave."""
    sources = [inputs, vars(inputs.get("generation_config") or default), vars(default)]
    found: dict[str, int] = {}
    for name, instead in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        length, new = (next((s[key] for s in sources if s.get(key) is not None), None) for key in (name, instead))
        if length is not None and new is None:
            found[name] = max(0, length - dropped)
    return found


def restore(output: Any, prompt: Tensor, length: int) -> Any:
    """The output of ``generate`` with the given prompt in the place of the shortened one of ``length`` tokens."""
    short: Tensor = output if isinstance(output, Tensor) else output.sequences
    copies = short.shape[0] // prompt.shape[0]
    full = torch.cat([prompt.to(short.device).repeat_interleave(copies, 0), short[:, length:]], 1)
    if isinstance(output, Tensor):
        return full
    output.sequences = full
    return output

"""What a model's own calls are given and return, when their prompt is shortened on the way."""

import copy
import inspect
from typing import Any

import torch
from torch import Tensor

from vidfold.models.base import Inputs


def named(model: Any, method: str, args: tuple[Any, ...], kwargs: Inputs) -> dict[str, Any]:
    """All arguments of a call of a model's method by name."""
    signature = inspect.signature(getattr(type(model), method))
    given = dict(signature.bind_partial(model, *args, **kwargs).arguments)
    more: dict[str, Any] = given.pop("kwargs", {})
    del given["self"]
    return given | more


def generated_mask(inputs: Inputs, default: Any) -> Tensor:
    """The ``attention_mask`` (B, L) that ``generate`` infers where a call gives none: padding is no token.

    It cannot where padding is also the end of the text; then every token counts. ``default`` is the model's
    ``generation_config``.
    """
    ids: Tensor = inputs["input_ids"]
    pad, ends = setting(inputs, default, "pad_token_id"), setting(inputs, default, "eos_token_id")
    if pad is None or pad in torch.as_tensor([] if ends is None else ends).flatten().tolist():
        return torch.ones_like(ids, dtype=torch.int64)
    return ids.ne(pad).long()


def lengths(inputs: Inputs, default: Any, dropped: int) -> dict[str, Any]:
    """The lengths that a call sets, for a prompt that lost tokens: callers count the prompt they gave.

    Args:
        inputs: of the call.
        default: the model's ``generation_config``.
        dropped: tokens that the prompt lost.

    Returns:
        ``max_length`` and ``min_length``, or a changed copy of the call's ``generation_config`` in which they are.
    """
    config, found = inputs.get("generation_config"), dict[str, Any]()
    for name, instead in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        length, new = setting(inputs, default, name), setting(inputs, default, instead)
        if length is not None and new is None:
            found[name] = max(0, length - dropped)
    if config is None or not found:
        return found
    config = copy.copy(config)
    for name in found.keys() - {name for name in found if inputs.get(name) is not None}:
        setattr(config, name, found.pop(name))
    return found | {"generation_config": config}


def setting(inputs: Inputs, default: Any, name: str) -> Any:
    """A setting of ``generate``: the call's own, else that of its ``generation_config``, else the model's.

    ``default`` is the model's ``generation_config``.
    """
    sources = [inputs, vars(inputs.get("generation_config") or default), vars(default)]
    return next((source[name] for source in sources if source.get(name) is not None), None)


def restore(output: Any, prompt: Tensor, length: int) -> Any:
    """The output of ``generate`` with the given prompt in the place of the shortened one of ``length`` tokens."""
    short: Tensor = output if isinstance(output, Tensor) else output.sequences
    copies = short.shape[0] // prompt.shape[0]
    full = torch.cat([prompt.to(short.device).repeat_interleave(copies, 0), short[:, length:]], 1)
    if isinstance(output, Tensor):
        return full
    output.sequences = full
    return output

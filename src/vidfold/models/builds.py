"""Which objects are models that can be served: what is inside a wrapper, and what a build must have."""

import inspect
from typing import Any

import torch

from vidfold import versions


def unwrapped(model: Any) -> Any:
    """The transformers model inside what torch.compile, PEFT or DistributedDataParallel made of it.

    A ValueError for a DataParallel, which copies it in every call.
    """
    if isinstance(model, torch.nn.DataParallel):
        raise ValueError(
            "DataParallel copies the model for every device in every call, and copies are unfolded: use "
            "DistributedDataParallel, or fold its .module and call that"
        )
    if callable(base := getattr(model, "get_base_model", None)):
        return unwrapped(base())
    parts = getattr(model, "_modules", {})
    inner = parts.get("_orig_mod", parts.get("module"))
    return model if inner is None else unwrapped(inner)


def check_build(model: Any, kind: str, *names: str) -> None:
    """Raise a ValueError for an older transformers than is tested, or a model of another build.

    A family serves models of one ``config.model_type``, ``kind``, with a language-model head and a base that has
    ``names``.
    """
    import transformers

    versions.check(transformers)
    base = getattr(model, "base_model", model)
    if missing := [name for name in names if not hasattr(base, name)]:
        raise ValueError(f"{type(model).__name__} has no {missing[0]}: it is no {kind} of transformers")
    if "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        raise ValueError(
            f"{type(model).__name__} takes no mm_encoder_outputs, as every {kind} of transformers does: load that one"
        )


def state_of(model: Any) -> int:
    """A number that tells whether a model's weights were changed, replaced or moved, without reading them.

    It misses changes past PyTorch's own count, by ``parameter.data``.
    """
    return hash(
        tuple(
            (each.device.type, 0 if each.is_meta else each.data_ptr(), 0 if each.is_inference() else each._version)
            for each in model.parameters()
        )
    )

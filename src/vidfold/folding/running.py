"""A folded model's ``generate`` and ``forward``, around those of the model itself."""

import warnings
from typing import Any

import torch
from torch import Tensor

from vidfold.folding.caches import MARK, continuing
from vidfold.folding.folder import Call, Folder
from vidfold.folding.methods import Method
from vidfold.models.cache import cache_of
from vidfold.models.calls import generated_mask, lengths, named, restore


def generate(folder: Folder, stock: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``generate`` on a shortened prompt; the output has the prompt as it was given in front of the answer."""
    inputs = named(folder.model, "generate", args, kwargs)
    if inputs.get("input_ids") is None and inputs.get("inputs") is not None:
        inputs["input_ids"] = inputs.pop("inputs")
    inputs = dict(folder.family.prepared(inputs))
    cache, full = cache_of(inputs), inputs.get("input_ids")
    if not folder.folds(inputs):
        with continuing(cache, inputs):
            output = stock(*args, **{name: value for name, value in kwargs.items() if name not in folder.family.said})
        folder.pass_through(inputs)
        return output
    defaults = folder.model.generation_config
    if isinstance(full, Tensor):
        inputs |= folder.family.inferred(inputs)
        if inputs.get("attention_mask") is None:
            inputs["attention_mask"] = generated_mask(inputs, defaults)
    with torch.no_grad():
        call = folder.fold(inputs)
    tell(call, 4)
    length = call.inputs["input_ids"].shape[1]
    short = call.inputs | lengths(call.inputs, defaults, inputs["input_ids"].shape[1] - length)
    try:
        if folder.dropper is None or call.run is None:
            output = stock(**short)
        else:
            call.run.trims = cache is None
            with folder.dropper.reading(call.run):
                # A decoder compiled before would run without its new hooks.
                output = stock(**short | {"disable_compile": True})
    finally:
        folder.remember(cache, call.prompt)
    folder.remember(_cache(output), call.prompt)
    return restore(output, inputs["input_ids"], length)


def forward(folder: Folder, stock: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The model's forward over a shortened prompt, or whatever else it is called for."""
    inputs = named(folder.model, "forward", args, kwargs) if args else kwargs
    cache, family = cache_of(inputs), folder.family
    special = family.pixels | family.said | {"mm_encoder_outputs"}
    if cache is not None and not hasattr(cache, MARK) and not any(name in inputs for name in special):
        return stock(*args, **kwargs)  # a decoding step; nothing here keeps it from being compiled
    call = folder.begin(stock, inputs)
    tell(call, 6)
    if folder.dropper is None or call.run is None or not call.run.limits:
        output = stock(**call.inputs)
    else:
        output = folder.dropper.forward(stock, call.run, call.inputs)
    folder.remember(_cache(output), call.prompt)
    return output


def tell(call: Call, level: int) -> None:
    """Warn the caller, ``level`` frames up."""
    for text in call.warnings:
        warnings.warn(text, UserWarning, stacklevel=level)


def _cache(output: Any) -> Any:
    """The cache in an output of ``generate`` or ``forward``, or None."""
    if isinstance(output, tuple):
        return next((each for each in output if hasattr(each, "get_seq_length")), None)
    return None if isinstance(output, Tensor) else cache_of(output)

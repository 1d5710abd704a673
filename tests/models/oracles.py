"""What a model says when tokens are hidden from chosen layers: masks instead of dropping, eager attention, no cache."""

import math
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tests.models import builders
from vidfold.drops import Drop

NEVER = [builders.EOS, builders.IMAGE, builders.VIDEO]
"""Tokens that answers in tests do without."""


def greedy(logits: Tensor) -> Tensor:
    """The most likely tokens (...) of logits (..., V)."""
    return logits.index_fill(-1, torch.tensor(NEVER), -torch.inf).argmax(-1)


@contextmanager
def masked(model: Any, keys: list[Tensor]):
    """Every decoder layer sees only the keys (B, L) bool given for it, causally."""

    def hook(index: int):
        def replace(module, args, kwargs):
            hidden = args[0]
            length = hidden.shape[1]
            allowed = torch.ones(length, length, dtype=torch.bool).tril() & keys[index][:, None, None, :length]
            mask = torch.zeros_like(allowed, dtype=hidden.dtype).masked_fill(~allowed, torch.finfo(hidden.dtype).min)
            return args, kwargs | {"attention_mask": mask}

        return replace

    hooks = [
        layer.register_forward_pre_hook(hook(index), with_kwargs=True)
        for index, layer in enumerate(model.get_decoder().layers)
    ]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def visual(model: Any, inputs: dict[str, Tensor]) -> list[tuple[int, Tensor]]:
    """Row and columns of the tokens of every video, its closing newline left out."""
    size = inputs["pixel_values_videos"].shape[1] * builders.cells(model) + 1
    videos = []
    for row, ids in enumerate(inputs["input_ids"]):
        places = (ids == builders.VIDEO).nonzero()[:, 0]
        videos += [(row, places[first : first + size - 1]) for first in range(0, len(places), size)]
    return videos


@torch.no_grad()
def visible_keys(model: Any, inputs: dict[str, Tensor], drops: tuple[Drop, ...], asking: list[int]) -> list[Tensor]:
    """Keys that each layer sees when drops are made one after the other, ranked by attention weights of the model."""
    layers = model.get_decoder().layers
    keys = [inputs["attention_mask"].bool()] * len(layers)
    for drop in drops:
        with masked(model, keys):
            attention = model(**inputs, output_attentions=True).attentions[drop.scorer]
        kept = keys[drop.layer].clone()
        for row, columns in visual(model, inputs):
            scores = attention[row, :, asking[row]].mean(0)[columns]
            scores = scores.masked_fill(~kept[row, columns], -1)
            count = max(1, math.floor(drop.share * len(columns) + 0.5))
            kept[row, columns] = False
            kept[row, columns[scores.topk(count).indices]] = True
        keys = keys[: drop.layer] + [kept] * (len(layers) - drop.layer)
    return keys


@torch.no_grad()
def answer(model: Any, inputs: dict[str, Tensor], drops: tuple[Drop, ...], steps: int = 1) -> Tensor:
    """Logits (steps, B, V) of a greedy answer, every step a whole forward; rows are padded on the left."""
    last = inputs["input_ids"].shape[1] - 1
    keys = visible_keys(model, inputs, drops, [last] * len(inputs["input_ids"]))
    logits = []
    for _ in range(steps):
        with masked(model, keys):
            logits.append(model(**inputs).logits[:, -1])
        one = torch.ones_like(inputs["input_ids"][:, :1])
        inputs = inputs | {
            "input_ids": torch.cat([inputs["input_ids"], greedy(logits[-1])[:, None]], 1),
            "attention_mask": torch.cat([inputs["attention_mask"], one], 1),
        }
        keys = [torch.cat([each, one.bool()], 1) for each in keys]
    return torch.stack(logits)

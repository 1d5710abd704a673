"""Received attention at the cost of AOT's authors: every matrix of every layer is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vidfold import models
from vidfold.models import LlavaOnevision
from vidfold.models.base import Inputs
from vidfold.tokens import VideoTokens


def encode(model: Any, inputs: Inputs) -> list[VideoTokens]:
    """Same as `vidfold.models.encode` with ``shallow`` and ``deep``, at the cost of the authors' program.

    All layers of the tower use eager attention, every matrix is kept, and all are stacked before the column sums of
    two layers are taken: (layers, B*F, heads, H*W, H*W) in the tower's dtype, twice. Afterwards the tower uses its
    previous attention implementation again.

    Raises:
        ValueError: a model of another family, or inputs without video.
    """
    family = models.family(model)
    if not isinstance(family, LlavaOnevision):
        raise ValueError(f"model must be a {LlavaOnevision.model_type} to keep all attention, got {family.model_type}")
    with _kept_attention(model.base_model.vision_tower) as matrices:
        videos = family.encode(inputs)
    stacked = torch.stack(matrices)
    seen: dict[str, list[Tensor]] = {}
    for name, layer in family.observed_layers(inputs).items():
        received = stacked[layer].float().mean(1).sum(1)
        seen[name] = list(received.view(len(videos), -1, received.shape[1]))
    return [
        replace(video, shallow=shallow, deep=deep)
        for video, shallow, deep in zip(videos, seen["shallow"], seen["deep"], strict=True)
    ]


@contextmanager
def _kept_attention(tower: Any) -> Iterator[list[Tensor]]:
    """Attention matrices (F, heads, N, N) of all layers that run inside the context, in order."""
    matrices: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: tuple[Tensor, Tensor]) -> None:
        matrices.append(output[1])

    previous = tower.config._attn_implementation
    hooks = [module.register_forward_hook(keep) for name, module in tower.named_modules() if name.endswith("self_attn")]
    try:
        tower.set_attn_implementation("eager")
        yield matrices
    finally:
        tower.set_attn_implementation(previous)
        for hook in hooks:
            hook.remove()

"""A small LLaVA-Video for the matrix of `test_families`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.models import builders, llava_onevision_model, oracles
from vidfold import Pooling
from vidfold.models import llava_video

NEVER = oracles.NEVER
UNEQUAL = False
IMAGES = True
SIDE = 7
"""Patches along a side: 3 x 3 tokens and 3 newlines a frame, an odd row and column dropped."""


def build(
    dtype: torch.dtype = torch.float32, attention: str = "sdpa", pooling: Pooling = Pooling.AVERAGE, side: int = SIDE
) -> Any:
    model = builders.llava_onevision(side, 8, attention=attention).to(dtype)
    model.config.vidfold = llava_video.record(pooling)
    llava_video.dress(model)
    return model


def inputs(
    model: Any,
    prompts: Sequence[int] = (4,),
    frames: Sequence[Sequence[int]] = ((2,),),
    images: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    return llava_onevision_model.inputs(model, prompts, frames, images, places=lambda count: count * per_frame(model))


def per_frame(model: Any) -> int:
    height, width = grid(model)
    return height * (width + 1)


def grid(model: Any) -> tuple[int, int]:
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    return Pooling(model.config.vidfold["pooling"]).grid((side, side))


def visual(model: Any, inputs: dict[str, Tensor]) -> list[tuple[int, Tensor]]:
    size = inputs["pixel_values_videos"].shape[1] * per_frame(model)
    width = grid(model)[1]
    videos = []
    for row, ids in enumerate(inputs["input_ids"]):
        for places in (ids == builders.VIDEO).nonzero()[:, 0].split(size):
            videos += [(row, places.view(-1, width + 1)[:, :-1].flatten())] if len(places) else []
    return videos


def extra(model: Any, inputs: dict[str, Tensor], kept: Sequence[Tensor]) -> Tensor:
    """The newlines of the rows that keep a token."""
    width = grid(model)[1]
    newlines = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    for (row, columns), index in zip(visual(model, inputs), kept, strict=True):
        newlines[row, columns.view(-1, width)[torch.unique(index // width), -1] + 1] = True
    return newlines


def received(model: Any, inputs: dict[str, Tensor], layer: int) -> list[Tensor]:
    return llava_onevision_model.received(model, inputs, layer)

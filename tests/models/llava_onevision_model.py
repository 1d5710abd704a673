"""A small LLaVA-OneVision for the matrix of `test_families`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution

from tests.models import builders, oracles

NEVER = oracles.NEVER
UNEQUAL = False
IMAGES = True

SIZES = ((1.0, 1.0), (1.0, 1.7), (2.1, 1.5))
"""Heights and widths of the images, in turn, in sides of a picture."""


def build(dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """6x6 patches, 3x3 tokens a frame; images of up to 2x2 crops."""
    side = 6 * 8
    points = [[side * height, side * width] for height in (1, 2) for width in (1, 2)]
    return builders.llava_onevision(6, 8, attention=attention, image_grid_pinpoints=points).to(dtype)


def inputs(
    model: Any,
    prompts: Sequence[int] = (4,),
    frames: Sequence[Sequence[int]] = ((2,),),
    images: Sequence[int] | None = None,
    places: Callable[[int], int] | None = None,
) -> dict[str, Tensor]:
    """``places``: placeholders of a video of so many frames, where the model reads it otherwise."""
    images = images or [0] * len(prompts)
    places = places or (lambda count: count * builders.cells(model) + 1)
    lines: list[list[int]] = []
    clips: list[Tensor] = []
    pictures: list[Image] = []
    for words, counts, shown in zip(prompts, frames, images, strict=True):
        text = builders.prompt(model, videos=0, words=words + 1 + len(counts) + shown, seed=words)
        line, rest = text[:2], text[2:]
        for count in counts:
            clips.append(builders.pixels(model, frames=count, seed=words + 10 * len(line)))
            line += [builders.VIDEO] * places(count) + [rest.pop()]
        for number in range(shown):
            picture = image(model, SIZES[(number + words) % len(SIZES)], alone=shown == 1, seed=words + 10 * len(line))
            pictures.append(picture)
            line += [builders.IMAGE] * picture.places + [rest.pop()]
        lines.append(line + rest)
    made = builders.batch(lines)
    if clips:
        made["pixel_values_videos"] = torch.cat(clips)
    if pictures:
        most = max(len(each.pixels) for each in pictures)
        made |= {
            "pixel_values": torch.stack(
                [
                    torch.cat([each.pixels, each.pixels.new_zeros(most - len(each.pixels), *each.pixels.shape[1:])])
                    for each in pictures
                ]
            ),
            "image_sizes": torch.tensor([each.size for each in pictures]),
            "batch_num_images": torch.tensor(list(images)),
        }
    return made


class Image(NamedTuple):
    """What the processor makes of an image: the whole and crops, its size in pixels, and its placeholders."""

    pixels: Tensor
    size: tuple[int, int]
    places: int


def image(model: Any, size: tuple[float, float], alone: bool = True, seed: int = 0) -> Image:
    """An image of height and width in sides of a picture; among several of a prompt it comes without crops."""
    side = model.config.vision_config.image_size
    pixels = (round(size[0] * side), round(size[1] * side))
    count = 1
    if alone:
        height, width = select_best_resolution(pixels, model.config.image_grid_pinpoints)
        count += (height // side) * (width // side)
    crops = builders.pixels(model, frames=count, seed=seed)
    with torch.no_grad():
        features = model.model.get_image_features(
            crops, torch.tensor([pixels]), batch_num_images=torch.tensor([1 if alone else 2]), return_dict=True
        )
    return Image(crops[0], pixels, len(features.pooler_output[0]))


def visual(model: Any, inputs: dict[str, Tensor]) -> list[tuple[int, Tensor]]:
    return oracles.visual(model, inputs)


def received(model: Any, inputs: dict[str, Tensor], layer: int) -> list[Tensor]:
    pixels = inputs["pixel_values_videos"]
    with torch.no_grad():
        matrices = model.model.vision_tower(pixels.flatten(0, 1), output_attentions=True).attentions[layer]
    return list(matrices.sum(2).mean(1).unflatten(0, pixels.shape[:2]))

"""Prompts with videos of random pixels, laid out as by the processors of the models."""

from typing import Any

import torch
from torch import Tensor

from vidfold.checks import check_count

SIDE = 392
"""Default height and width of frames, in pixels, for a model that takes any resolution."""


def inputs(
    model: Any, frames: int, batch: int = 1, text: int = 64, seed: int = 0, side: int | None = None
) -> dict[str, Tensor]:
    """Random inputs in the layout of the model's processor.

    Args:
        model: a LLaVA-OneVision or a Qwen2.5-VL, see `vidfold.bench.random_weights.build`.
        frames: F, frames per video.
        batch: B, prompts with one video each.
        text: text tokens per prompt, half of them before the video.
        seed: seed of pixels and text.
        side: height and width of the frames in pixels, for a model that takes any; None is `SIDE`.

    Returns:
        All on the model's device, ids and counts int64, pixels in its dtype; frames of one video are similar. N is the
        number of tokens per frame. LLaVA-OneVision: ``input_ids`` and ``attention_mask`` (B, text + F*N + 1), and
        ``pixel_values_videos`` (B, F, 3, S, S). Qwen2.5-VL: both (B, text + T*N + 2), T = ceil(F / 2);
        ``mm_token_type_ids`` of the same shape, ``pixel_values_videos`` (patches of all videos, values of a patch),
        ``video_grid_thw`` (B, 3) and ``second_per_grid_ts`` (B,) float32, one second.

    Raises:
        ValueError: a count below 1, a model of another family, or a side that the model does not take.
    """
    makers = {"llava_onevision": _llava_onevision, "qwen2_5_vl": _qwen2_5_vl}
    for name, count in (("frames", frames), ("batch", batch), ("text", text)):
        check_count(name, count)
    config = model.config
    if config.model_type not in makers:
        raise ValueError(f"random inputs support {' and '.join(makers)} only, got {config.model_type}")
    generator = torch.Generator().manual_seed(seed)
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    special = [getattr(config, name, None) for name in names] + [model.generation_config.pad_token_id]
    words = torch.arange(config.get_text_config().vocab_size)
    words = words[~torch.isin(words, torch.tensor([each for each in special if each is not None]))]
    prompts = words[torch.randint(len(words), (batch, text), generator=generator)]

    places, made = makers[config.model_type](config, frames, batch, side, generator)
    video = torch.tensor(places).expand(batch, -1)
    ids = torch.cat([prompts[:, : text // 2], video, prompts[:, text // 2 :]], dim=1)
    if "video_grid_thw" in made:
        made["mm_token_type_ids"] = 2 * (ids == config.video_token_id).long()
    made |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    made["pixel_values_videos"] = made["pixel_values_videos"].to(model.dtype)
    return {name: value.to(model.device) for name, value in made.items()}


_Made = tuple[list[int], dict[str, Tensor]]
"""Token ids of a video in the prompt, and its pixels."""


def _llava_onevision(config: Any, frames: int, batch: int, side: int | None, generator: torch.Generator) -> _Made:
    from vidfold.models import LlavaOnevision
    from vidfold.tokens import Pooling

    vision = config.vision_config
    if side not in (None, vision.image_size):
        raise ValueError(f"side must be {vision.image_size} pixels for this model, got {side}")
    patches = vision.image_size // vision.patch_size
    height, width = Pooling.BILINEAR.grid((patches, patches))
    pixels = _alike(generator, batch, frames, 3, vision.image_size, vision.image_size)
    places = [config.video_token_id] * (frames * height * width + LlavaOnevision.closing)
    return places, {"pixel_values_videos": pixels}


def _qwen2_5_vl(config: Any, frames: int, batch: int, side: int | None, generator: torch.Generator) -> _Made:
    vision = config.vision_config
    merged = vision.patch_size * vision.spatial_merge_size
    side = SIDE // merged * merged if side is None else side
    if side < merged or side % merged:
        raise ValueError(f"side must be a multiple of {merged} pixels, the merged patch of this model, got {side}")
    steps, patches = -(-frames // vision.temporal_patch_size), side // vision.patch_size
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    places = [config.video_token_id] * (steps * (side // merged) ** 2)
    return [config.vision_start_token_id, *places, config.vision_end_token_id], {
        "pixel_values_videos": _alike(generator, batch, steps, patches**2, values).flatten(0, 2),
        "video_grid_thw": torch.tensor([[steps, patches, patches]] * batch),
        "second_per_grid_ts": torch.ones(batch),
    }


def _alike(generator: torch.Generator, batch: int, frames: int, *frame: int) -> Tensor:
    """Random frames (batch, frames, ...); those of one video are similar."""
    scene = torch.randn(batch, 1, *frame, generator=generator)
    change = torch.randn(batch, frames, *frame, generator=generator)
    return scene + 0.5 * change

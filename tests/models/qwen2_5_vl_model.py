"""A small Qwen2.5-VL for the matrix of `test_families`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from tests.models import qwen_vl_model as qwen
from tests.models.qwen_vl_model import NEVER, positions, received, visual

UNEQUAL = True
IMAGES = True

__all__ = ["IMAGES", "NEVER", "UNEQUAL", "build", "inputs", "positions", "received", "visual"]


def build(dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """6x4, 4x6 and 5x5 tokens a frame, windows of 2x2."""
    vision = qwen.VISION | {
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "window_size": 16,
        "fullatt_block_indexes": [0, 2],
        "tokens_per_second": 2,
    }
    text = qwen.TEXT
    config = Qwen2_5_VLConfig(vision_config=vision, text_config=text, **qwen.TOKENS)
    return qwen.random(Qwen2_5_VLForConditionalGeneration, config, dtype, attention)


def inputs(
    model: Any,
    prompts: Sequence[int] = (4,),
    frames: Sequence[Sequence[int]] = ((2,),),
    images: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    made = qwen.laid_out(prompts, frames, images, timed=False)
    if "video_grid_thw" in made:
        made["second_per_grid_ts"] = torch.full((len(made["video_grid_thw"]),), 0.5)
    return made

"""A small Qwen3-VL with experts for the matrix of `test_families`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

from tests.models import qwen_vl_model as qwen
from tests.models.qwen_vl_model import NEVER, positions, received, visual

UNEQUAL = True
IMAGES = True

__all__ = ["IMAGES", "NEVER", "UNEQUAL", "build", "inputs", "positions", "received", "visual"]


def build(dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """6x4, 4x6 and 5x5 tokens a frame, two levels of DeepStack, four experts of which two serve a token."""
    vision = qwen.VISION | {
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_position_embeddings": 36,
        "deepstack_visual_indexes": [1, 2],
    }
    text = qwen.TEXT | {"head_dim": 8, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    config = Qwen3VLMoeConfig(vision_config=vision, text_config=text, **qwen.TOKENS)
    return qwen.random(Qwen3VLMoeForConditionalGeneration, config, dtype, attention)


def inputs(
    model: Any,
    prompts: Sequence[int] = (4,),
    frames: Sequence[Sequence[int]] = ((2,),),
    images: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    return qwen.laid_out(prompts, frames, images, timed=True)

"""Model families: how a video's tokens are taken out of a model and put back, and which family a model belongs to."""

from collections.abc import Sequence
from typing import Any

from vidfold.models.base import Family, Inputs
from vidfold.models.internvl import InternVL
from vidfold.models.llava_onevision import LlavaOnevision
from vidfold.models.llava_video import LlavaVideo
from vidfold.models.loading import load
from vidfold.models.qwen2_5_vl import Qwen2_5VL
from vidfold.models.qwen2_vl import Qwen2VL
from vidfold.models.qwen3_vl import Qwen3VL, Qwen3VLMoe
from vidfold.models.registry import FAMILIES, family
from vidfold.tokens import Reduction, VideoTokens


def encode(model: Any, inputs: Inputs, needs: frozenset[str] = frozenset()) -> list[VideoTokens]:
    """What the vision tower says about every video of the inputs; see `Family.encode`.

    Encode once, then reduce in many ways and `splice` each result with as many prompts as there are questions.
    """
    return family(model).encode(inputs, needs)


def splice(model: Any, inputs: Inputs, reductions: Sequence[Reduction]) -> dict[str, Any]:
    """Keyword arguments for one call of ``model.generate`` or ``model``; see `Family.splice`."""
    return family(model).splice(inputs, reductions)


__all__ = [
    "FAMILIES",
    "Family",
    "InternVL",
    "LlavaOnevision",
    "LlavaVideo",
    "Qwen2VL",
    "Qwen2_5VL",
    "Qwen3VL",
    "Qwen3VLMoe",
    "encode",
    "family",
    "load",
    "splice",
]

"""Model families: how a video's tokens are taken out of a model and put back, and which family a model belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vidfold.models.base import Family, Inputs
from vidfold.models.internvl import InternVL
from vidfold.models.llava_onevision import LlavaOnevision
from vidfold.models.llava_video import RECORD, LlavaVideo
from vidfold.models.loading.published import is_published, load
from vidfold.models.qwen2_5_vl import Qwen2_5VL
from vidfold.models.qwen2_vl import Qwen2VL
from vidfold.models.qwen3_vl import Qwen3VL, Qwen3VLMoe
from vidfold.tokens import Reduction, VideoTokens

FAMILIES: dict[str, type[Family]] = {
    each.model_type: each for each in (InternVL, LlavaOnevision, LlavaVideo, Qwen2VL, Qwen2_5VL, Qwen3VL, Qwen3VLMoe)
}
"""``config.model_type``, or what the config records as its family -> family."""


def family(model: Any) -> Family:
    """The family of a loaded transformers model, with its default choices.

    Raises:
        ValueError: a model of no supported family; the message names those there are.
    """
    config = getattr(model, "config", None)
    model_type = (getattr(config, RECORD, None) or {}).get("family", getattr(config, "model_type", None))
    if model_type not in FAMILIES:
        found = type(model).__name__ + (f" with model_type {model_type!r}" if model_type else "")
        raise ValueError(f"{found} is no supported model; supported are: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[model_type](model)


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
    "is_published",
    "load",
    "splice",
]

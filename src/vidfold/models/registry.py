"""Which family a model belongs to."""

from typing import Any

from vidfold.models.base import Family
from vidfold.models.builds import unwrapped
from vidfold.models.internvl import InternVL
from vidfold.models.llava_onevision import LlavaOnevision
from vidfold.models.llava_video import RECORD, LlavaVideo
from vidfold.models.qwen2_5_vl import Qwen2_5VL
from vidfold.models.qwen2_vl import Qwen2VL
from vidfold.models.qwen3_vl import Qwen3VL, Qwen3VLMoe

FAMILIES: dict[str, type[Family]] = {
    each.model_type: each for each in (InternVL, LlavaOnevision, LlavaVideo, Qwen2VL, Qwen2_5VL, Qwen3VL, Qwen3VLMoe)
}
"""``config.model_type``, or the family that the config of a LLaVA-Video records -> family."""


def family(model: Any) -> Family:
    """The family of a loaded transformers model, with its default choices; of a wrapped one, that of the model inside.

    A ValueError for a model of no supported family names the supported ones.
    """
    model = unwrapped(model)
    config = getattr(model, "config", None)
    model_type = (getattr(config, RECORD, None) or {}).get("family", getattr(config, "model_type", None))
    if model_type not in FAMILIES:
        found = type(model).__name__ + (f" with model_type {model_type!r}" if model_type else "")
        raise ValueError(f"{found} is no supported model; supported are: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[model_type](model)

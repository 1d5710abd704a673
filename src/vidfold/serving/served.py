"""The models that are served, by the name of their architecture."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Served:
    """What serves one architecture.

    Attributes:
        place: ``module:class`` of the model as vLLM imports it.
        gives: optional fields of `VideoTokens` that it fills.
        own: names of methods that vLLM has for this model itself; these names keep vLLM's meaning.
    """

    place: str
    gives: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()


MODELS: Mapping[str, Served] = {
    "LlavaOnevisionForConditionalGeneration": Served(
        "vidfold.serving.models.llava_onevision:FoldedLlavaOnevision", gives=frozenset({"shallow", "deep", "keys"})
    ),
    "InternVLForConditionalGeneration": Served("vidfold.serving.models.internvl:FoldedInternVL"),
    "Qwen2_5_VLForConditionalGeneration": Served("vidfold.serving.models.qwen2_5_vl:FoldedQwen2_5VL", own=("evs",)),
    "Qwen3VLForConditionalGeneration": Served("vidfold.serving.models.qwen3_vl:FoldedQwen3VL", own=("evs", "vidcom2")),
}

"""Inputs of one image or video in vLLM's own form."""

from collections.abc import Mapping
from typing import Any


def grid_shape(item: Mapping[str, Any], config: Any) -> tuple[int, int]:
    """Temporal patches of a video of a Qwen model, and merged cells of each."""
    frames, height, width = item["video_grid_thw"].tolist()
    return frames, height * width // config.vision_config.spatial_merge_size**2


def item_of(modality: str, **values: Any) -> Any:
    """A ``MultiModalKwargsItem`` with these values."""
    from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalFieldElem, MultiModalKwargsItem

    field = MultiModalFieldConfig.batched(modality).field
    return MultiModalKwargsItem({name: MultiModalFieldElem(data=each, field=field) for name, each in values.items()})

"""Inputs of one image or video in vLLM's own form."""

from typing import Any


def item_of(modality: str, **values: Any) -> Any:
    """A ``MultiModalKwargsItem`` with these values."""
    from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalFieldElem, MultiModalKwargsItem

    field = MultiModalFieldConfig.batched(modality).field
    return MultiModalKwargsItem({name: MultiModalFieldElem(data=each, field=field) for name, each in values.items()})

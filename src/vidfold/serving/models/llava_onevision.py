"""LLaVA-OneVision in vLLM."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.distributed import tensor_model_parallel_all_reduce
from vllm.model_executor.models.llava_onevision import (
    LlavaOnevisionDummyInputsBuilder,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionMultiModalProcessor,
    LlavaOnevisionProcessingInfo,
)
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from vidfold.models.attention.observing import chosen_layers
from vidfold.serving import budgets
from vidfold.serving.attention import attended
from vidfold.serving.processing import BUDGET, Folding
from vidfold.serving.startup import method_of
from vidfold.tokens import Pooling, VideoTokens


class Processor(Folding, LlavaOnevisionMultiModalProcessor):  # type: ignore[misc]
    """One placeholder a folded token, and one for the newline at the end of every video."""

    def shape(self, stock: Any, item: Mapping[str, Any]) -> tuple[int, int]:
        """Frames as the pixels have them."""
        frames = len(item["pixel_values_videos"])
        return frames, (len(stock) - 1) // frames

    def places(self, stock: Any, kept: int) -> list[int]:
        """The first of the stock placeholders, which are all alike."""
        return list(stock[: kept + 1])


@MULTIMODAL_REGISTRY.register_processor(
    Processor, info=LlavaOnevisionProcessingInfo, dummy_inputs=LlavaOnevisionDummyInputsBuilder
)
class FoldedLlavaOnevision(LlavaOnevisionForConditionalGeneration):  # type: ignore[misc]
    """The stock model; videos with a budget are folded behind the projector."""

    supported_video_pruning_methods = ()  # `startup.start` checks the method
    # Checkpoints of transformers 5 name the parts of the tower without "vision_model".
    hf_to_vllm_mapper = LlavaOnevisionForConditionalGeneration.hf_to_vllm_mapper | WeightsMapper(
        orig_to_new_prefix={
            f"{start}vision_tower.{part}.": f"vision_tower.vision_model.{part}."
            for start in ("", "model.")
            for part in ("embeddings", "encoder", "post_layernorm", "head")
        }
    )

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.method = method_of(vllm_config.model_config)

    def embed_multimodal(self, **kwargs: Any) -> Sequence[Tensor]:
        """Embeddings of images, or of videos, which come with their budgets where they are to be folded."""
        carried: Tensor | None = kwargs.pop(BUDGET, None)
        if carried is None:
            stock: Sequence[Tensor] = super().embed_multimodal(**kwargs)
            return stock
        assert self.method is not None
        newline = self.image_newline[None]
        return [
            torch.cat([budgets.folded(self.method, budget, video).tokens, newline.to(video.features)])
            for budget, video in zip(carried, self._videos(**kwargs), strict=True)
        ]

    def _videos(self, **kwargs: Any) -> list[VideoTokens]:
        """The videos before the model pools them, with what the method needs."""
        pixels = self._parse_and_validate_video_input(**kwargs)["pixel_values_videos"]
        layers = [layer.self_attn for layer in self.vision_tower.vision_model.encoder.layers]
        chosen = chosen_layers(None, None, len(layers))
        assert self.method is not None
        # Keys are those of the last layer.
        modules = {name: layers[chosen.get(name, -1)].attn for name in sorted(self.method.needs)}
        ranks = layers[-1].tp_size
        with attended(modules, ranks, tensor_model_parallel_all_reduce) as seen:
            states = self.vision_tower(
                torch.cat(list(pixels)), feature_select_strategy=self.config.vision_feature_select_strategy
            )
        vision = self.config.vision_config
        grid = (vision.image_size // vision.patch_size,) * 2
        seen["features"] = self.multi_modal_projector(states)
        frames = [len(video) for video in pixels]
        split: dict[str, Any] = {name: torch.split(values, frames) for name, values in seen.items()}
        # Checking the values would wait for the device, and an error here would end the engine.
        return [
            VideoTokens(
                grid=grid, pooling=Pooling.BILINEAR, check=False, **{name: each[i] for name, each in split.items()}
            )
            for i in range(len(frames))
        ]

"""Qwen2.5-VL in vLLM."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.qwen2_5_vl import (
    Qwen2_5_VLDummyInputsBuilder,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLMultiModalProcessor,
    Qwen2_5_VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from vidfold.models.base import by_cell, cell_slots
from vidfold.serving import budgets
from vidfold.serving.models.items import grid_shape, item_of
from vidfold.serving.positions import FoldedPositions, attached
from vidfold.serving.processing import BUDGET, Folding
from vidfold.serving.startup import method_of
from vidfold.tokens import VideoTokens


class Processor(Folding, Qwen2_5_VLMultiModalProcessor):  # type: ignore[misc]
    """One placeholder a folded token."""

    def shape(self, stock: Any, item: Mapping[str, Any]) -> tuple[int, int]:
        """As the grid says."""
        return grid_shape(item, self.info.get_hf_config())

    def places(self, stock: Any, kept: int) -> list[int]:
        """As many of the stock placeholder."""
        return [stock[0]] * kept


@MULTIMODAL_REGISTRY.register_processor(
    Processor, info=Qwen2_5_VLProcessingInfo, dummy_inputs=Qwen2_5_VLDummyInputsBuilder
)
class FoldedQwen2_5VL(FoldedPositions, Qwen2_5_VLForConditionalGeneration):  # type: ignore[misc]
    """The stock model; videos with a budget are folded behind the merger, and bring their positions."""

    supported_video_pruning_methods = ()  # `startup.start` checks the method

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.method = method_of(vllm_config.model_config)

    def embedding_width(self) -> int:
        """That of the language model."""
        return int(self.config.text_config.hidden_size)

    def unfolded(self, modality: str, item: Any) -> list[int]:
        """One placeholder a cell."""
        cells = int(item[f"{modality}_grid_thw"].data.prod()) // self.visual.spatial_merge_size**2
        return [getattr(self.config, f"{modality}_token_id")] * cells

    def _postprocess_image_embeds_evs(self, image_embeds_split: Any, image_input: Any) -> Any:
        """Images need no columns: their positions are right from the start."""
        if self.method is not None:
            return image_embeds_split
        return super()._postprocess_image_embeds_evs(image_embeds_split, image_input)

    def embed_multimodal(self, **kwargs: Any) -> Sequence[Tensor]:
        """Embeddings of images, or of videos, which come with their budgets where they are to be folded."""
        carried: Tensor | None = kwargs.pop(BUDGET, None)
        if carried is None:
            stock: Sequence[Tensor] = super().embed_multimodal(**kwargs)
            return stock
        video = self._parse_and_validate_video_input(**kwargs)
        seconds = video["second_per_grid_ts"]
        times = [{}] * len(carried) if seconds is None else [{"second_per_grid_ts": each} for each in seconds]
        return [
            self._folded(budget, features, item_of("video", video_grid_thw=grid, **time))
            for budget, features, grid, time in zip(
                carried, self._process_video_input(video), video["video_grid_thw"], times, strict=True
            )
        ]

    def _folded(self, budget: Tensor, features: Tensor, item: Any) -> Tensor:
        """The folded tokens of one video in reading order, with their positions."""
        frames, height, width = item["video_grid_thw"].data.tolist()
        grid = (height // self.visual.spatial_merge_size, width // self.visual.spatial_merge_size)
        video = VideoTokens(features.view(frames, grid[0] * grid[1], -1), grid, check=False)
        assert self.method is not None
        reduction = budgets.folded(self.method, budget, video)
        order = by_cell(reduction)
        whole = self.whole("video", item).to(features.device)
        return attached(reduction.tokens[order], whole[:, cell_slots(reduction)[order]].T)

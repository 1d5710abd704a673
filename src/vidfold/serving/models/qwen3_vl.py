"""Qwen3-VL in vLLM."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.qwen3_vl import (
    Qwen3VLDummyInputsBuilder,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMultiModalProcessor,
    Qwen3VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from vidfold.models.base import by_cell, cell_slots
from vidfold.serving import budgets
from vidfold.serving.models.items import grid_shape, item_of
from vidfold.serving.positions import FoldedPositions, columns
from vidfold.serving.processing import BUDGET, Folding
from vidfold.serving.startup import method_of
from vidfold.tokens import VideoTokens


class Processor(Folding, Qwen3VLMultiModalProcessor):  # type: ignore[misc]
    """A placeholder for every token of a video, the text with the times of its frames included.

    How many tokens a frame keeps depends on the content, so only their sum is known here. The model embeds the text
    between frames together with the tokens, so all placeholders are alike.
    """

    def shape(self, stock: Any, item: Mapping[str, Any]) -> tuple[int, int]:
        """As the grid says."""
        return grid_shape(item, self.info.get_hf_config())

    def places(self, stock: Any, kept: int) -> list[int]:
        """As many placeholders as there are tokens of text and folded tokens."""
        token = self.info.get_hf_config().video_token_id
        return [token] * (sum(each != token for each in stock.full) + kept)


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Qwen3VLProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder)
class FoldedQwen3VL(FoldedPositions, Qwen3VLForConditionalGeneration):  # type: ignore[misc]
    """The stock model; videos with a budget are folded behind the mergers, and bring their positions."""

    supported_video_pruning_methods = ()  # `startup.start` checks the method

    def __init__(self, *, vllm_config: Any, prefix: str = "model") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.method = method_of(vllm_config.model_config)

    def embedding_width(self) -> int:
        """Features for the first layers of the language model stand behind every embedding."""
        return int(self.visual_dim + self.multiscale_dim)

    def unfolded(self, modality: str, item: Any) -> list[int]:
        """Placeholders, and around those of every frame of a video its text."""
        frames, *sides = item[f"{modality}_grid_thw"].data.tolist()
        cells = sides[0] * sides[1] // self.visual.spatial_merge_size**2
        if modality == "image":
            return [self.config.image_token_id] * cells
        ids: list[int] = Qwen3VLMultiModalProcessor.get_video_repl(
            tokens_per_frame=[cells] * frames,
            tokenizer=self._tokenizer,
            timestamps=item["timestamps"].data,
            vision_start_token_id=self.config.vision_start_token_id,
            vision_end_token_id=self.config.vision_end_token_id,
            video_token_id=self.config.video_token_id,
        ).full
        return ids

    def _postprocess_image_embeds_evs(self, image_embeds_split: Any, image_input: Any) -> Any:
        """Images need no columns: their positions are right from the start."""
        if self.method is not None:
            return image_embeds_split
        return super()._postprocess_image_embeds_evs(image_embeds_split, image_input)

    def embed_multimodal(self, **kwargs: Any) -> Sequence[Tensor] | None:
        """Embeddings of images, or of videos, which come with their budgets where they are to be folded."""
        carried: Tensor | None = kwargs.pop(BUDGET, None)
        if carried is None:
            stock: Sequence[Tensor] | None = super().embed_multimodal(**kwargs)
            return stock
        video = self._parse_and_validate_video_input(**kwargs)
        return [
            self._folded(budget, features, grid.tolist(), times)
            for budget, features, grid, times in zip(
                carried, self._process_video_input(video), video["video_grid_thw"], video.timestamps, strict=True
            )
        ]

    def _folded(self, budget: Tensor, features: Tensor, shape: list[int], times: Any) -> Tensor:
        """The folded tokens of one video with the text between its frames, and their positions."""
        frames, merge = shape[0], self.visual.spatial_merge_size
        grid = (shape[1] // merge, shape[2] // merge)
        by_frame = features.view(frames, grid[0] * grid[1], -1)
        main, *levels = torch.split(by_frame, self.visual_dim, dim=-1)
        side = torch.stack(levels) if levels else None
        assert self.method is not None
        reduction = budgets.folded(self.method, budget, VideoTokens(main, grid, side=side, check=False))
        order = by_cell(reduction)
        tokens = [reduction.tokens, *(() if reduction.side is None else reduction.side)]
        kept = torch.zeros(reduction.full, dtype=torch.bool, device=features.device)
        rows: Tensor = self._create_final_video_embeddings(
            video_embeddings=torch.cat(tokens, dim=1)[order],
            num_tokens_per_frame=reduction.frames.bincount(minlength=frames).tolist(),
            timestamps=times,
            video_grid_thw=shape,
            retention_mask=kept.index_fill(0, cell_slots(reduction), True),
        )
        return rows

    def _get_expanded_positions(self, **layout: Any) -> Tensor:
        """Positions of the text between frames and of the kept cells, as columns of the embeddings."""
        if self.method is None:
            stock: Tensor = super()._get_expanded_positions(**layout)
            return stock
        item = item_of("video", video_grid_thw=torch.tensor(layout["video_grid_thw"]), timestamps=layout["timestamps"])
        cells = torch.tensor(self.unfolded("video", item)) == self.config.video_token_id
        kept = ~cells
        kept[cells] = layout["retention_mask"].to(kept.device)
        return columns(self.whole("video", item)[:, kept].T, self.visual.dtype).to(layout["device"])

"""InternVL in vLLM, whose frames are pictures with text between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.interns1 import (
    InternS1DummyInputsBuilder,
    InternS1ForConditionalGeneration,
    InternS1MultiModalProcessor,
    InternS1ProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.tokenizers.registry import cached_tokenizer_from_config

from vidfold.models.base import by_cell, cell_slots
from vidfold.serving import budgets
from vidfold.serving.processing import BUDGET, Folding
from vidfold.serving.startup import method_of
from vidfold.tokens import VideoTokens


class Processor(Folding, InternS1MultiModalProcessor):  # type: ignore[misc]
    """A placeholder for every token of a video, the text between its frames included.

    How many tokens a frame keeps depends on the content, so only their sum is known here. The model embeds the text
    between frames together with the tokens, so all placeholders are alike.
    """

    @property
    def _token(self) -> int:
        """The placeholder of a video."""
        processor = self.info.get_hf_processor()
        return int(processor.tokenizer.convert_tokens_to_ids(processor.video_token))

    def shape(self, stock: Any, item: Mapping[str, Any]) -> tuple[int, int]:
        """Every frame is one picture."""
        frames = int(item["video_num_patches"])
        return frames, stock.full.count(self._token) // frames

    def places(self, stock: Any, kept: int) -> list[int]:
        """As many placeholders as there are tokens of text and folded tokens."""
        return [self._token] * (len(stock.full) - stock.full.count(self._token) + kept)


@MULTIMODAL_REGISTRY.register_processor(Processor, info=InternS1ProcessingInfo, dummy_inputs=InternS1DummyInputsBuilder)
class FoldedInternVL(InternS1ForConditionalGeneration):  # type: ignore[misc]
    """The stock model; videos with a budget are folded behind the projector, between the text of their frames."""

    supported_video_pruning_methods = ()  # `startup.start` checks the method

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.method = method_of(vllm_config.model_config)
        self.tokenizer = cached_tokenizer_from_config(vllm_config.model_config)

    def embed_multimodal(self, **kwargs: Any) -> Sequence[Tensor]:
        """Embeddings of images, or of videos, which come with their budgets where they are to be folded."""
        carried: Tensor | None = kwargs.pop(BUDGET, None)
        if carried is None:
            stock: Sequence[Tensor] = super().embed_multimodal(**kwargs)
            return stock
        video = self._parse_and_validate_video_input(**kwargs)
        frames = [int(count) for count in video["num_patches"]]
        features = torch.split(self.extract_feature(video["pixel_values"]), frames)
        return [self._folded(budget, each) for budget, each in zip(carried, features, strict=True)]

    def _folded(self, budget: Tensor, features: Tensor) -> Tensor:
        """The folded tokens of one video (F, N, D) with the text between its frames."""
        side = round(features.shape[1] ** 0.5)
        assert self.method is not None
        reduction = budgets.folded(self.method, budget, VideoTokens(features, (side, side), check=False))
        ids = torch.tensor(self._unfolded(*features.shape[:2]), device=features.device)
        cells = ids == self.video_context_token_id
        kept = torch.zeros_like(cells[cells]).index_fill(0, cell_slots(reduction), True)
        ids = ids[(~cells).masked_scatter(cells, kept)]
        rows: Tensor = self.get_language_model().embed_input_ids(ids)
        rows[ids == self.video_context_token_id] = reduction.tokens[by_cell(reduction)].to(rows)
        return rows

    def _unfolded(self, frames: int, cells: int) -> list[int]:
        """Token ids that stand for an unfolded video."""
        token = self.tokenizer.convert_ids_to_tokens(self.video_context_token_id)
        picture = f"{self.tokenizer.start_image_token}{token * cells}{self.tokenizer.end_image_token}"
        text = "\n".join(f"Frame{number + 1}: {picture}" for number in range(frames))
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

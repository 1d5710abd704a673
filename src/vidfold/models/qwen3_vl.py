"""Qwen3-VL (Bai et al. 2025, arXiv:2511.21631) as transformers loads it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidfold.models.base import by_cell
from vidfold.models.qwen_vl import QwenVL
from vidfold.tokens import Reduction


@dataclass(frozen=True, eq=False)
class Qwen3VL(QwenVL):
    """Text with the time stands before every frame and stays, even where no token of the frame is kept.

    Features of earlier layers of the tower are added to the tokens in the first layers of the language model
    (DeepStack). They are `VideoTokens.side`, and are folded as the tokens are. See `QwenVL`.
    """

    model_type: ClassVar[str] = "qwen3_vl"
    text_between_frames: ClassVar[bool] = True
    contrast: ClassVar[float] = 0.5

    @property
    def side_levels(self) -> int:
        """One for every level of DeepStack."""
        return len(self.model.config.vision_config.deepstack_visual_indexes)

    def _side(self, output: Any, number: int, frames: int) -> Tensor | None:
        levels = [level[number] for level in output.deepstack_features]
        return torch.stack([level.view(frames, -1, level.shape[-1]) for level in levels]) if levels else None

    def _packed(self, reductions: Sequence[Reduction], *, video: bool) -> Any:
        kind = sys.modules[type(self.base).__module__].BaseModelOutputWithDeepstackFeatures
        tokens, sides = [], []
        for each in reductions:
            order = by_cell(each)
            tokens.append(each.tokens[order])
            if each.side is not None:
                sides.append(each.side[:, order])
            elif self.side_levels:
                raise ValueError(
                    f"a reduction to {len(each)} tokens has no side features, which {self.model_type} adds in "
                    "its first layers (DeepStack): fold with a vidfold.Reducer, or set Reduction.side"
                )
        return kind(pooler_output=tuple(tokens), deepstack_features=[list(level) for level in zip(*sides, strict=True)])


@dataclass(frozen=True, eq=False)
class Qwen3VLMoe(Qwen3VL):
    """The same with experts in the language model."""

    model_type: ClassVar[str] = "qwen3_vl_moe"

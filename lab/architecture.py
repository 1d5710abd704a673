"""The architecture of the tiny model: a standard LLaVA-OneVision of about two million parameters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfold.tiny.language import END, IMAGE, PAD, VIDEO, VOCABULARY
from vidfold.tiny.textures import SIZE

if TYPE_CHECKING:
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration


@dataclass(frozen=True)
class TinyConfig:
    """Sizes of the tiny model: a SigLIP tower, 2 x 2 pooling and a Qwen2 language model."""

    patch: int = 8
    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    width: int = 192
    layers: int = 4
    heads: int = 6

    @property
    def grid(self) -> int:
        """Patches along each side of a frame."""
        return SIZE // self.patch

    @property
    def cells(self) -> int:
        """Tokens per frame after pooling."""
        return (self.grid // 2) ** 2


SHIPPED = TinyConfig()
"""Sizes of the shipped weights."""


def architecture(sizes: TinyConfig) -> "LlavaOnevisionConfig":
    """The transformers configuration of the given sizes."""
    from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=sizes.vision_width,
        intermediate_size=2 * sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.vision_heads,
        image_size=SIZE,
        patch_size=sizes.patch,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=-(-len(VOCABULARY) // 64) * 64,
        hidden_size=sizes.width,
        intermediate_size=2 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=VOCABULARY[END],
        pad_token_id=VOCABULARY[PAD],
    )
    return LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=VOCABULARY[IMAGE],
        video_token_index=VOCABULARY[VIDEO],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[SIZE, SIZE]],
        tie_word_embeddings=True,
    )


def build(sizes: TinyConfig, seed: int = 0) -> "LlavaOnevisionForConditionalGeneration":
    """A model of the given sizes with random weights from ``seed``."""
    import torch
    from transformers import LlavaOnevisionForConditionalGeneration

    torch.manual_seed(seed)
    return LlavaOnevisionForConditionalGeneration(architecture(sizes))

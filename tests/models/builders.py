"""Small random models of the real architectures, and prompts for them without a processor."""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, Qwen2Config, SiglipVisionConfig

from vidfold import Reduction, VideoTokens

PAD, EOS, IMAGE, VIDEO = 0, 2, 3, 4
WORDS = 10
"""First id that is no special token."""
VOCABULARY = 64


def llava_onevision(
    side: int = 27,
    patch: int = 14,
    depth: int = 4,
    attention: str = "sdpa",
    seed: int = 0,
    layers: int = 2,
    **config: Any,
) -> LlavaOnevisionForConditionalGeneration:
    """A LLaVA-OneVision of a side x side grid; its answers depend on what the video shows.

    ``depth`` counts layers of the tower, ``layers`` those of the language model.
    """
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=depth,
        num_attention_heads=2,
        image_size=side * patch + (6 if side == 27 and patch == 14 else 0),
        patch_size=patch,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    settings = {
        "image_token_index": IMAGE,
        "video_token_index": VIDEO,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "image_grid_pinpoints": [[vision.image_size, vision.image_size]],
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(vision_config=vision, text_config=text, **{**settings, **config})
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and weight.ndim > 1:
                weight.normal_(0, 0.25)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = EOS
    model.set_attn_implementation(attention)
    return model.eval()


def pixels(model: Any, videos: int = 1, frames: int = 2, seed: int = 0) -> Tensor:
    """(videos, frames, 3, size, size) float32."""
    size = model.config.vision_config.image_size
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(videos * frames, 3, 7, 7, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return fine.view(videos, frames, 3, size, size)


def cells(model: Any) -> int:
    """Tokens a frame that the language model reads."""
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    return ((side + 1) // 2) ** 2


def prompt(model: Any, frames: int = 2, videos: int = 1, words: int = 4, seed: int = 0) -> list[int]:
    """Ids of a prompt: a word, the videos with a word after each, then words."""
    generator = torch.Generator().manual_seed(100 + seed)
    text = torch.randint(WORDS, VOCABULARY, (words + videos,), generator=generator).tolist()
    ids = [1]
    for word in text[:videos]:
        ids += [VIDEO] * (frames * cells(model) + 1) + [word]
    return ids + text[videos:]


def batch(rows: list[list[int]], side: str = "left") -> dict[str, Tensor]:
    """Padded ids and mask of several prompts."""
    longest = max(map(len, rows))
    pads = [[PAD] * (longest - len(row)) for row in rows]
    full = [pad + row if side == "left" else row + pad for row, pad in zip(rows, pads, strict=True)]
    ones = [[0] * len(pad) + [1] * len(row) for row, pad in zip(rows, pads, strict=True)]
    mask = [line if side == "left" else line[::-1] for line in ones]
    return {"input_ids": torch.tensor(full), "attention_mask": torch.tensor(mask)}


@functools.cache
def shared(side: int = 27, patch: int = 14, **settings: Any) -> LlavaOnevisionForConditionalGeneration:
    """One model for many tests, which must leave it as it is."""
    return llava_onevision(side, patch, **settings)


@dataclass(frozen=True)
class Scattered:
    """Keeps tokens of every video at given flat positions, another set for each video in turn."""

    sets: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "turn", itertools.cycle(self.sets))

    def __call__(self, tokens: VideoTokens) -> Reduction:
        index = next(self.turn)
        return Reduction(
            tokens=tokens.pooled().flatten(0, 1)[index],
            frames=index // tokens.cells,
            cells=index % tokens.cells,
            grid=tokens.language_grid,
            full=tokens.frames * tokens.cells,
        )


def scattered(*counts: int, full: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Ascending random positions out of ``full``, one set for each count."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randperm(full, generator=generator)[:count].sort().values for count in counts)

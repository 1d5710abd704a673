"""A small InternVL for the matrix of `test_families`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from tests.models import builders
from tests.models.builders import EOS, IMAGE, PAD
from tests.models.oracles import NEVER

START, END, LINE, FRAME, COLON, SPACE = 5, 6, 7, 8, 9, 10
DIGITS = 20
"""The id of the digit 0."""
SIDE, PATCH = 6, 4
CELLS = (SIDE // 2) ** 2
TILES = (3, 1)
"""Tiles of the images of a prompt, in turn."""

UNEQUAL = True
IMAGES = True


def build(dtype: torch.dtype = torch.float32, attention: str = "sdpa", text: str = "qwen2") -> Any:
    """6x6 patches and a CLS token, 3x3 tokens a frame; ``text`` is the kind of its language model."""
    vision = InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=SIDE * PATCH,
        patch_size=PATCH,
        use_qk_norm=True,
        layer_scale_init_value=1.0,
    )
    settings: dict[str, Any] = {
        "vocab_size": builders.VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": 1,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    }
    kinds: dict[str, Any] = {"qwen2": Qwen2Config, "qwen3": Qwen3Config}
    language: PreTrainedConfig = kinds[text](**settings | ({"head_dim": 8} if text == "qwen3" else {}))
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=vision,
            text_config=language,
            image_token_id=IMAGE,
            image_seq_length=CELLS,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and weight.ndim > 1:
                weight.normal_(0, 0.25)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = EOS
    model.set_attn_implementation(attention)
    return model.to(dtype).eval()


def video(count: int) -> list[int]:
    """``Frame1: <img>...</img>``, a new line, ``Frame2: ...``, as tokens."""
    ids: list[int] = []
    for number in range(1, count + 1):
        ids += [LINE] if ids else []
        ids += [FRAME, *(DIGITS + int(digit) for digit in str(number)), COLON, SPACE, START, *[IMAGE] * CELLS, END]
    return ids


def image(tiles: int) -> list[int]:
    """``<img>...</img>``."""
    return [START, *[IMAGE] * (tiles * CELLS), END]


def pixels(count: int, seed: int) -> Tensor:
    """(count, 3, size, size) float32."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(SIDE * PATCH, SIDE * PATCH), mode="bilinear")


def inputs(
    model: Any,
    prompts: Sequence[int] = (4,),
    frames: Sequence[Sequence[int]] = ((2,),),
    images: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    lines, pictures = [], []
    for words, counts, shown in zip(prompts, frames, images or [0] * len(prompts), strict=True):
        generator = torch.Generator().manual_seed(words)
        text = torch.randint(30, builders.VOCABULARY, (words + 1,), generator=generator).tolist()
        line = [1, text.pop(), LINE]
        tiles = [TILES[number % len(TILES)] for number in range(shown)]
        for part in [*map(video, counts), *map(image, tiles)]:
            line += [*part, LINE]
        pictures.append(pixels(sum(counts) + sum(tiles), seed=words))
        lines.append(line + text)
    made = builders.batch(lines)
    return made | ({"pixel_values": torch.cat(pictures)} if any(map(len, pictures)) else {})


def visual(model: Any, inputs: dict[str, Tensor]) -> list[tuple[int, Tensor]]:
    """Row and columns of every video: the runs with a number in front, until the next number 1."""
    videos: list[tuple[int, list[Tensor]]] = []
    for row, ids in enumerate(inputs["input_ids"].tolist()):
        for column in range(1, len(ids)):
            if ids[column] == IMAGE and ids[column - 1] == START and ids[column - 3] == COLON:
                if ids[column - 5 : column - 3] == [FRAME, DIGITS + 1]:
                    videos.append((row, []))
                videos[-1][1].append(torch.arange(column, column + CELLS))
    return [(row, torch.cat(columns)) for row, columns in videos]


def received(model: Any, inputs: dict[str, Tensor], layer: int) -> list[Tensor]:
    with torch.no_grad():
        matrices = model.model.vision_tower(inputs["pixel_values"], output_attentions=True).attentions[layer]
    patches = matrices.sum(2).mean(1)[:, 1:]
    cells = patches.view(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).flatten(1)
    return list(cells.split([len(columns) // CELLS for _, columns in visual(model, inputs)]))


__all__ = ["NEVER"]

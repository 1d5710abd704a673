"""Prompts and oracles for small models of the Qwen line, as `test_families` wants them; one module a family builds."""

import itertools
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.models import builders
from tests.models.builders import EOS, IMAGE, PAD, VIDEO, WORDS
from tests.models.oracles import NEVER

START, END = 5, 6
PATCH, MERGE = 4, 2
GRIDS = ((12, 8), (8, 12), (10, 10))
"""Patches of the videos and images of a prompt, in turn; two by two are merged."""

VISION: dict[str, Any] = {
    "depth": 4,
    "num_heads": 2,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 2,
}
TEXT: dict[str, Any] = {
    "vocab_size": builders.VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
}
TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
    "tie_word_embeddings": False,
}


def random(kind: Any, config: Any, dtype: torch.dtype, attention: str) -> Any:
    """A model with weights large enough for its answers to depend on what the video shows."""
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and weight.ndim > 1:
                weight.normal_(0, 0.25)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = EOS
    model.set_attn_implementation(attention)
    return model.to(dtype).eval()


def laid_out(
    prompts: Sequence[int], frames: Sequence[Sequence[int]], images: Sequence[int] | None, *, timed: bool
) -> dict[str, Tensor]:
    """What the processor would give; where ``timed``, every frame stands alone behind two words of its time."""
    lines: list[list[int]] = []
    grids: dict[int, list[tuple[int, int, int]]] = {IMAGE: [], VIDEO: []}
    patches: dict[int, list[Tensor]] = {IMAGE: [], VIDEO: []}
    for words, counts, shown in zip(prompts, frames, images or [0] * len(prompts), strict=True):
        generator = torch.Generator().manual_seed(words)
        text = itertools.cycle(torch.randint(WORDS, builders.VOCABULARY, (97,), generator=generator).tolist())
        line = [1, next(text)]
        kinds = [(VIDEO, count) for count in counts] + [(IMAGE, 1)] * shown
        for (kind, steps), (height, width) in zip(kinds, itertools.cycle(GRIDS), strict=False):
            grids[kind].append((steps, height, width))
            scene = torch.randn(1, height * width, 96, generator=generator)
            motion = torch.randn(steps, height * width, 96, generator=generator)
            patches[kind].append((scene + 0.5 * motion).flatten(0, 1))
            cells = height * width // MERGE**2
            runs = [cells] * steps if timed and kind == VIDEO else [steps * cells]
            for run in runs:
                line += [next(text), next(text)] if timed and kind == VIDEO else []
                line += [START, *[kind] * run, END]
            line.append(next(text))
        lines.append(line + [next(text) for _ in range(words)])
    made = builders.batch(lines)
    ids = made["input_ids"]
    made["mm_token_type_ids"] = (ids == IMAGE).int() + 2 * (ids == VIDEO).int()
    for kind, pixels, grid in (
        (IMAGE, "pixel_values", "image_grid_thw"),
        (VIDEO, "pixel_values_videos", "video_grid_thw"),
    ):
        if grids[kind]:
            made |= {pixels: torch.cat(patches[kind]), grid: torch.tensor(grids[kind])}
    return made


def visual(model: Any, inputs: dict[str, Tensor]) -> list[tuple[int, Tensor]]:
    """Row and columns of the cells of every video."""
    places = [(row, column) for row, column in (inputs["input_ids"] == VIDEO).nonzero().tolist()]
    videos = []
    for count in (inputs["video_grid_thw"].prod(1) // MERGE**2).tolist():
        own, places = places[:count], places[count:]
        videos.append((own[0][0], torch.tensor([column for _, column in own])))
    return videos


def positions(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Time, height and width (3, B, L) of every token of the full prompt."""
    names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw", "attention_mask")
    given = {name: inputs[name] for name in (*names, "second_per_grid_ts") if name in inputs}
    return {"position_ids": model.model.get_rope_index(**given)[0]}


def received(model: Any, inputs: dict[str, Tensor], layer: int) -> list[Tensor]:
    """Attention that cells receive in a layer of the tower, from the matrices of a model with eager attention."""
    tower, grids = model.model.visual, inputs["video_grid_thw"]
    source = sys.modules[type(tower).__module__]
    stock, sums = source.eager_attention_forward, []

    def attend(module, *args, **settings):
        output, matrix = stock(module, *args, **settings)
        if module is tower.blocks[layer].attn:
            sums.append(matrix.sum(2).mean(1)[0])
        return output, matrix

    source.eager_attention_forward = attend
    try:
        with torch.no_grad():
            tower(inputs["pixel_values_videos"].to(model.dtype), grid_thw=grids)
    finally:
        source.eager_attention_forward = stock
    cells = torch.cat(sums).view(-1, MERGE**2).mean(1)
    if hasattr(tower, "window_size"):
        from transformers.vision_utils import get_vision_window_index

        cells = cells[get_vision_window_index(grids, MERGE, tower.window_size, PATCH)[0].argsort()]
    return [
        part.view(int(t), -1)
        for part, (t, _, _) in zip(cells.split((grids.prod(1) // MERGE**2).tolist()), grids, strict=True)
    ]


__all__ = ["NEVER", "positions", "received", "visual"]

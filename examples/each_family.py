"""Fold a clip for a model of every family: small models with random weights, without a download.

Their answers are meaningless. Every model is built from its transformers config class, and its prompt by its processor
with a byte tokenizer. Text between frames of a prompt stays in the cache.

    python examples/each_family.py
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor
from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor
from transformers.video_utils import VideoMetadata

from vidfold import AOT, Pooling, fold
from vidfold.app.tables import table
from vidfold.models import llava_video

FRAMES, SECONDS, SIDE = 16, 8.0, 112
PATCH = 14
SPECIAL = {
    "pad_token": "<pad>",
    "eos_token": "<end>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
}


class Case(NamedTuple):
    """A model, its processor, and the placeholder of a video in its prompts."""

    model: Any
    processor: Any
    video: str


def clip() -> Tensor:
    """A bright disc that moves across a grey gradient, (F, 3, S, S) uint8."""
    axis = torch.arange(SIDE)
    grey = (axis[:, None] + axis) * 60 // SIDE
    x = torch.linspace(0, SIDE, FRAMES)[:, None, None]
    disc = (axis - x) ** 2 + (axis[:, None] - SIDE / 2) ** 2 < (SIDE / 6) ** 2
    red = torch.where(disc, 255, grey)
    return torch.stack([red, grey.expand_as(red), grey.expand_as(red)], dim=1).to(torch.uint8)


def byte_tokenizer() -> Any:
    """A tokenizer with one token per byte, and one for the word "Frame", as InternVL's frame labels need it."""
    merges = [("F", "r"), ("Fr", "a"), ("Fra", "m"), ("Fram", "e")]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    tokenizer = Tokenizer(BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL.values()])
    names = {name: token for name, token in SPECIAL.items() if name not in ("pad_token", "eos_token")}
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL["pad_token"],
        eos_token=SPECIAL["eos_token"],
        padding_side="left",
        extra_special_tokens=names,
    )


def text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Settings of a small language model."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    } | more


def llava_onevision(tokenizer: Any) -> Case:
    """SigLIP on 8x8 patches, pooled to 4x4 tokens."""
    vision = hf.SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=8,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    config = hf.LlavaOnevisionConfig(
        vision_config=vision,
        text_config=hf.Qwen2Config(**text(tokenizer)),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[SIDE, SIDE]],
    )
    size = {"height": SIDE, "width": SIDE}
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[SIDE, SIDE]]),
        tokenizer=tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        image_token=tokenizer.image_token,
        video_token=tokenizer.video_token,
    )
    return Case(hf.LlavaOnevisionForConditionalGeneration(config), processor, tokenizer.video_token)


def video_llava(tokenizer: Any) -> Case:
    """The same model as LLaVA-Video: average pooling, and a newline after every row."""
    case = llava_onevision(tokenizer)
    setattr(case.model.config, llava_video.RECORD, llava_video.record(Pooling.AVERAGE))
    llava_video.dress(case.model, case.processor)
    return case


def internvl(tokenizer: Any) -> Case:
    """InternViT on 8x8 patches, shuffled into 4x4 tokens."""
    vision = hf.InternVLVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=8,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )
    places = (SIDE // PATCH // 2) ** 2
    config = hf.InternVLConfig(
        vision_config=vision,
        text_config=hf.Qwen3Config(**text(tokenizer, head_dim=16)),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=places,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = hf.InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=places,
    )
    return Case(hf.InternVLForConditionalGeneration(config), processor, tokenizer.video_token)


def qwen(config: Any, model: Any, processor: Any, **vision: Any) -> Callable[[Any], Case]:
    """A Qwen model: pairs of frames, 8x8 patches, merged into 4x4 tokens."""

    def build(tokenizer: Any) -> Case:
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
        tower = {"depth": 8, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}
        heads = {"head_dim": 16} if "qwen3" in config.model_type else {}
        settings = config(
            vision_config=tower | vision,
            text_config=text(tokenizer, rope_parameters=rope, **heads),
            **{f"{name}_id": getattr(tokenizer, f"{name}_id") for name in PLACES},
        )
        size = {"shortest_edge": 4 * PATCH**2, "longest_edge": SIDE**2 * FRAMES}
        patches = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2, "size": size}
        videos = hf.Qwen3VLVideoProcessor if "qwen3" in config.model_type else hf.Qwen2VLVideoProcessor
        made = processor(
            image_processor=hf.Qwen2VLImageProcessor(**patches), tokenizer=tokenizer, video_processor=videos(**patches)
        )
        return Case(model(settings), made, "<|vision_start|><|video_pad|><|vision_end|>")

    return build


PLACES = ("image_token", "video_token", "vision_start_token", "vision_end_token")
DEEPSTACK = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "out_hidden_size": 64,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [2, 5],
}
FAMILIES: dict[str, Callable[[Any], Case]] = {
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "llava_video": video_llava,
    "qwen2_vl": qwen(
        hf.Qwen2VLConfig, hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor, embed_dim=64, hidden_size=64
    ),
    "qwen2_5_vl": qwen(
        hf.Qwen2_5_VLConfig,
        hf.Qwen2_5_VLForConditionalGeneration,
        hf.Qwen2_5_VLProcessor,
        hidden_size=64,
        intermediate_size=128,
        out_hidden_size=64,
        window_size=4 * PATCH,
        fullatt_block_indexes=[3, 7],
    ),
    "qwen3_vl": qwen(hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLProcessor, **DEEPSTACK),
    "qwen3_vl_moe": qwen(hf.Qwen3VLMoeConfig, hf.Qwen3VLMoeForConditionalGeneration, hf.Qwen3VLProcessor, **DEEPSTACK),
}
"""Name -> function that builds a small model."""


def prompt(case: Case) -> Any:
    """Model inputs with a question about the clip, from the processor."""
    about = VideoMetadata(
        total_num_frames=FRAMES, fps=FRAMES / SECONDS, duration=SECONDS, frames_indices=list(range(FRAMES))
    )
    return case.processor(
        text=[f"{case.video}\nWhat moves?"],
        videos=[clip()],
        video_metadata=[about],
        do_sample_frames=False,
        return_tensors="pt",
    )


def main() -> None:
    """Print a table of all families."""
    hf.logging.set_verbosity_error()
    rows = [("family", "tokens before", "after", "prompt before", "cache after", "generated ids", "seconds")]
    for name, build in FAMILIES.items():
        start = time.perf_counter()
        torch.manual_seed(0)
        case = build(byte_tokenizer())
        model, inputs = case.model.eval(), prompt(case)
        with fold(model, AOT(retention=0.10)) as folded:
            output = model.generate(**inputs, max_new_tokens=8, do_sample=False, return_dict_in_generate=True)
        length = inputs["input_ids"].shape[1]
        rows.append(
            (
                name,
                str(sum(folded.last.before)),
                str(sum(folded.last.after)),
                str(length),
                str(output.past_key_values.get_seq_length()),
                " ".join(map(str, output.sequences[0, length:].tolist())),
                f"{time.perf_counter() - start:.1f}",
            )
        )
    print(table(rows))


if __name__ == "__main__":
    main()

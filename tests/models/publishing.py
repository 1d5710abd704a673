"""Small checkpoints as the authors of LLaVA-OneVision and LLaVA-Video publish theirs: fields, names and files."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast, SiglipVisionModel

from lab.processing import CHAT_TEMPLATE
from tests.models import builders
from vidfold.tiny.language import END, IMAGE, PAD, SPECIAL, START, UNKNOWN, VIDEO, WORDS

LLAVA_VIDEO = {"mm_spatial_pool_mode": "average", "mm_newline_position": "grid", "mm_spatial_pool_stride": 2}
LLAVA_ONEVISION = {"mm_spatial_pool_mode": "bilinear", "mm_newline_position": "one_token"}
VOCABULARY = {
    word: index for index, word in enumerate((*[each for each in SPECIAL if each not in (IMAGE, VIDEO)], *WORDS))
}
"""That of the embedded model without its placeholders: the authors' tokenizers have none."""
DEPTH = 4
"""Layers of the tower that are used; one more makes it whole."""


def stock(side: int = 27, padded: int = 5) -> LlavaOnevisionForConditionalGeneration:
    """A LLaVA-OneVision whose embedding has ``padded`` rows more than the tokenizer, two of them for placeholders."""
    words = len(VOCABULARY)
    model = builders.llava_onevision(side, patch(side), depth=DEPTH, image_token_index=words)
    model.resize_token_embeddings(words + padded)
    model.config.video_token_id = words + 1
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in (model.model.language_model.embed_tokens.weight, model.lm_head.weight):
            weight.normal_(0, 0.25, generator=generator)
    return model


def patch(side: int) -> int:
    return 14 if side == 27 else 8


def weights(model: LlavaOnevisionForConditionalGeneration) -> dict[str, Tensor]:
    """The weights of a stock model by the authors' names."""
    prefixes = {
        "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
        "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
        "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
        "model.language_model.": "model.",
    }
    named = {}
    for name, weight in model.state_dict().items():
        ours = next((each for each in prefixes if name.startswith(each)), "")
        named[prefixes.get(ours, "") + name.removeprefix(ours).removeprefix("vision_model.")] = weight.clone()
    return named


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, as the embedded model's."""
    words = Tokenizer(tokenizers.models.WordLevel(VOCABULARY, unk_token=UNKNOWN))
    words.normalizer = tokenizers.normalizers.Lowercase()
    words.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Punctuation()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token=UNKNOWN,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        chat_template=CHAT_TEMPLATE,
    )


def config(side: int = 27, **fields: Any) -> dict[str, Any]:
    """Contents of ``config.json``."""
    size = 384 if side == 27 else side * 8
    return {
        "_name_or_path": "/checkpoints/somewhere",
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "add_faster_video": False,
        "add_time_instruction": True,
        "force_sample": True,
        "faster_token_stride": 10,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": VOCABULARY["<|im_end|>"],
        "hidden_act": "silu",
        "hidden_size": 32,
        "image_aspect_ratio": "anyres_max_9",
        "image_crop_resolution": None,
        "image_grid_pinpoints": [[size, size], [2 * size, size]],
        "image_split_resolution": None,
        "image_token_index": 151646,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 32768,
        "max_window_layers": 28,
        "mm_hidden_size": 32,
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_lr": None,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "tower",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": False,
        "tokenizer_padding_side": "right",
        "torch_dtype": "float32",
        "transformers_version": "4.40.0.dev0",
        "use_cache": True,
        "use_mm_proj": True,
        "use_sliding_window": False,
        "vision_tower_pretrained": None,
        "vocab_size": len(VOCABULARY),
    } | fields


def publish(
    folder: Path,
    tensors: dict[str, Tensor],
    *,
    shards: int = 2,
    whole_tower: bool = False,
    side: int = 27,
    **fields: Any,
) -> Path:
    """Write a folder: config, weights, tokenizer, and a small tower's config where the authors name that of SigLIP.

    ``whole_tower`` adds what the model leaves unused: the tower's last layer and head.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(side, **fields)))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": VOCABULARY["<|im_end|>"]}))
    tower = builders.llava_onevision(side, patch(side), depth=DEPTH + 1).config.vision_config
    tower.vision_use_head = True
    tower.save_pretrained(folder / "tower")
    tensors = dict(tensors)
    if whole_tower:
        for name, weight in SiglipVisionModel(tower).state_dict().items():
            name = name.removeprefix("vision_model.")
            if name.startswith(("head.", f"encoder.layers.{DEPTH}.")):
                tensors[f"model.vision_tower.vision_tower.vision_model.{name}"] = weight.clone()
    tokenizer().save_pretrained(folder)
    names = sorted(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder
    index = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = names[number::shards]
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        index |= dict.fromkeys(part, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": size}, "weight_map": index})
    )
    return folder

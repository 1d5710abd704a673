"""Checkpoints as the authors of LLaVA-OneVision and LLaVA-Video publish them (``LlavaQwenForCausalLM``).

transformers does not convert them. Here the weights get the names of a stock
``LlavaOnevisionForConditionalGeneration``, which is then built with them; nothing is written, and weights stay
memory-mapped until they are placed. `published_config` makes the config, `published_processor` the processor.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidfold.models.loading.published_config import config_of
from vidfold.models.loading.published_processor import processor_of
from vidfold.models.loading.weights import check_none, files_of

NAMES = {
    "model.vision_tower.vision_model.": "model.vision_tower.vision_tower.vision_model.",
    "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
    "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
    "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
    "model.language_model.": "model.",
}
"""Prefixes of weight names in transformers -> in the authors' files; other names are equal."""

HEAD = "lm_head.weight"

UNUSED = re.compile(
    r"model\.vision_tower\.vision_tower\.vision_model\.(head\.|encoder\.layers\.\d+\.)"
    r"|.*\.(position_ids|rotary_emb\.inv_freq)$"
)
"""Weights that a folder may hold and the model does not use: the tower's head and last layers, and tables that follow
from the config."""

FILES = ("*.json", "*.txt", "*.jinja", "*.safetensors")
"""Files that are downloaded from a repository on the hub."""


def is_published(content: Mapping[str, Any]) -> bool:
    """Whether the contents of a ``config.json`` are those of such a checkpoint."""
    architectures = content.get("architectures") or ()
    return content.get("model_type") == "llava_qwen" or "LlavaQwenForCausalLM" in architectures


def fetched(name: str, settings: Mapping[str, Any]) -> Path:
    """The local copy of a repository on the hub; ``settings`` are of ``snapshot_download``."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=list(FILES), **settings))


def load(folder: Path, content: Mapping[str, Any], settings: Mapping[str, Any], trust: bool) -> tuple[Any, Any]:
    """A ``LlavaOnevisionForConditionalGeneration`` and its ``LlavaOnevisionProcessor``.

    Prompts mark videos and images by ``<video>`` and ``<image>``, whose ids are the first two past the tokenizer's. The
    embedding has rows to spare for them, which pad it to a round number.

    Args:
        folder: of the checkpoint.
        content: of its ``config.json``.
        settings: of ``from_pretrained``, with ``dtype``.
        trust: whether code that comes with the checkpoint may run.

    Raises:
        ValueError: a checkpoint of another build, or weights that are missing, unknown or of another shape.
    """
    from safetensors.torch import load_file
    from transformers import GenerationConfig, LlavaOnevisionForConditionalGeneration

    weights = {key: tensor for file in files_of(folder) for key, tensor in load_file(folder / file).items()}
    config = config_of(content, folder, rows=len(weights.get("model.embed_tokens.weight", ())))
    with torch.device("meta"):
        expected = LlavaOnevisionForConditionalGeneration(config).state_dict()
    state = _named(weights, expected, tied=config.tie_word_embeddings)
    processor = processor_of(folder, config, trust)
    config.image_token_id, config.video_token_id = processor.image_token_id, processor.video_token_id
    if (last := max(config.image_token_id, config.video_token_id)) >= config.text_config.vocab_size:
        raise ValueError(
            f"it has {config.text_config.vocab_size} rows of its embedding, none to spare for <image> and <video>, of "
            f"which one is token {last}"
        )
    generation = GenerationConfig(eos_token_id=processor.tokenizer.eos_token_id)
    if (folder / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(folder)
    if generation.pad_token_id is None:
        generation.pad_token_id = processor.tokenizer.pad_token_id
    if settings["dtype"] == "auto":
        settings = {**settings, "dtype": weights["model.embed_tokens.weight"].dtype}
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, generation_config=generation, trust_remote_code=trust, **settings
    )
    return model, processor


def _named(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """The weights by the names of the model; a ValueError where some are missing, unknown or of another shape."""
    sources = {ours: _published_name(ours) for ours in expected}
    known = set(sources.values())
    if tied and HEAD not in weights:
        del sources[HEAD]
    check_none("lacks weights", [theirs for theirs in sources.values() if theirs not in weights])
    unknown = [theirs for theirs in weights if theirs not in known and not UNUSED.match(theirs)]
    check_none("holds unknown weights", unknown)
    misshapen = [
        f"{theirs} {tuple(weights[theirs].shape)} instead of {tuple(expected[ours].shape)}"
        for ours, theirs in sources.items()
        if weights[theirs].shape != expected[ours].shape
    ]
    check_none("holds misshapen weights", misshapen)
    state = {ours: weights[theirs] for ours, theirs in sources.items()}
    if tied and HEAD in state and not torch.equal(state.pop(HEAD), weights["model.embed_tokens.weight"]):
        raise ValueError(f"it has tie_word_embeddings, but {HEAD} is another matrix than its embedding")
    return state


def _published_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name

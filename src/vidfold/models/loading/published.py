"""Checkpoints as the authors of LLaVA-OneVision and LLaVA-Video publish them (``LlavaQwenForCausalLM``), loaded into
transformers' classes.

transformers converts no such folder by itself. Here its weights get the names of a stock
``LlavaOnevisionForConditionalGeneration``, which is then built around them; nothing is written, and weights stay mapped
files until they are placed. `published_config` says what the model is, `published_processor` how prompts are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidfold import extras
from vidfold.models import llava_video
from vidfold.models.loading.published_config import config_of
from vidfold.models.loading.published_processor import processor_of

NAMES = {
    "model.vision_tower.vision_model.": "model.vision_tower.vision_tower.vision_model.",
    "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
    "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
    "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
    "model.language_model.": "model.",
}
"""How names of weights begin in transformers, and in the authors' files; all others are the same."""

HEAD = "lm_head.weight"

UNUSED = re.compile(
    r"model\.vision_tower\.vision_tower\.vision_model\.(head\.|encoder\.layers\.\d+\.)"
    r"|.*\.(position_ids|rotary_emb\.inv_freq)$"
)
"""Weights a folder may hold and the model does without: the tower's head and later layers, and tables that follow from
the config."""

FILES = ("*.json", "*.txt", "*.jinja", "*.safetensors")
"""What is fetched of a repository on the hub."""


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether the contents of a ``config.json`` are those of such a checkpoint, or of a LLaVA-Video saved from one."""
    return _is_original(config) or config.get(llava_video.RECORD) is not None


def load(name: str, **settings: Any) -> tuple[Any, Any]:
    """A model and its processor from a checkpoint of LLaVA-Video or LLaVA-OneVision as its authors publish it.

    What a loaded LLaVA-Video saves by ``save_pretrained`` is loaded here again, and so is its processor.

    Args:
        name: a folder, or an identifier on the Hugging Face hub such as "lmms-lab/LLaVA-Video-7B-Qwen2".
        settings: of ``from_pretrained``, such as ``dtype``, ``device_map``, ``attn_implementation``; by default the
            weights' own dtype on the CPU.

    Returns:
        A ``LlavaOnevisionForConditionalGeneration`` in evaluation mode and a ``LlavaOnevisionProcessor``. Prompts mark
        videos and images by ``<video>`` and ``<image>``, whose ids are the first two past the tokenizer's; the rows of
        the embedding that pad it to a round number serve them.

    Raises:
        ValueError: no such checkpoint, one of another build, or weights that are missing, unknown or of another shape.
    """
    folder = Path(name) if Path(name).is_dir() else _fetched(name)
    if not (folder / "config.json").is_file():
        raise ValueError(f"model {name!r} cannot be loaded: {str(folder)!r} holds no config.json")
    config = json.loads((folder / "config.json").read_text())
    if not is_published(config):
        raise ValueError(
            f"model {name!r} is a {config.get('model_type')!r}, no checkpoint of LLaVA-OneVision or LLaVA-Video as "
            "published by their authors: load it by transformers or vidfold.app.loading"
        )
    settings = {"dtype": "auto"} | settings
    if _is_original(config):
        model, processor = _converted(name, folder, config, settings)
    else:
        transformers = extras.load("transformers", "models")
        model = transformers.LlavaOnevisionForConditionalGeneration.from_pretrained(folder, **settings)
        processor = transformers.LlavaOnevisionProcessor.from_pretrained(folder)
    if hasattr(model.config, llava_video.RECORD):
        llava_video.dress(model, processor)
    return model.eval(), processor


def _converted(name: str, folder: Path, published: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Any, Any]:
    from transformers import GenerationConfig, LlavaOnevisionForConditionalGeneration

    weights = _weights(name, folder)
    config = config_of(name, published, folder, rows=len(weights.get("model.embed_tokens.weight", ())))
    with torch.device("meta"):
        expected = LlavaOnevisionForConditionalGeneration(config).state_dict()
    state = _named(name, weights, expected, tied=config.tie_word_embeddings)
    processor = processor_of(name, folder, config)
    config.image_token_id, config.video_token_id = processor.image_token_id, processor.video_token_id
    if (last := max(config.image_token_id, config.video_token_id)) >= config.text_config.vocab_size:
        raise ValueError(
            f"model {name!r} has {config.text_config.vocab_size} rows of its embedding, none to spare for <image> and "
            f"<video>, of which one is token {last}"
        )
    generation = GenerationConfig(eos_token_id=processor.tokenizer.eos_token_id)
    if (folder / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(folder)
    if generation.pad_token_id is None:
        generation.pad_token_id = processor.tokenizer.pad_token_id
    if settings["dtype"] == "auto":
        settings = {**settings, "dtype": weights["model.embed_tokens.weight"].dtype}
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, generation_config=generation, **settings
    )
    return model, processor


def _named(name: str, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """The weights that a model has, by its own names.

    Raises:
        ValueError: weights that are missing, unknown or of another shape.
    """
    sources = {ours: _published_name(ours) for ours in expected}
    known = set(sources.values())
    if tied and HEAD not in weights:
        del sources[HEAD]
    problems = {
        "lacks": [theirs for theirs in sources.values() if theirs not in weights],
        "holds unknown": [theirs for theirs in weights if theirs not in known and not UNUSED.match(theirs)],
        "holds misshapen": [
            f"{theirs} {tuple(weights[theirs].shape)} instead of {tuple(expected[ours].shape)}"
            for ours, theirs in sources.items()
            if theirs in weights and weights[theirs].shape != expected[ours].shape
        ],
    }
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"model {name!r} {what} weights: {', '.join(names[:3])}{more}")
    state = {ours: weights[theirs] for ours, theirs in sources.items()}
    if tied and HEAD in state and not torch.equal(state.pop(HEAD), weights["model.embed_tokens.weight"]):
        raise ValueError(f"model {name!r} has tie_word_embeddings, but {HEAD} is another matrix than its embedding")
    return state


def _published_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def _weights(name: str, folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by the names in its files, each read when it is looked at."""
    from safetensors.torch import load_file

    index = folder / "model.safetensors.index.json"
    files = ["model.safetensors"]
    if index.is_file():
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise ValueError(f"model {name!r} lacks {len(missing)} of its {len(files)} files of weights, {missing[0]}")
    return {key: tensor for file in files for key, tensor in load_file(folder / file).items()}


def _fetched(name: str) -> Path:
    """The local copy of a repository on the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"model {name!r} cannot be loaded: it is not in the local cache, and the hub cannot be reached; give a "
            "folder, or connect and try again"
        ) from error
    except HFValidationError as error:
        raise ValueError(f"model {name!r} is neither a folder nor an identifier on the hub") from error
    except OSError as error:
        raise ValueError(f"model {name!r} cannot be loaded: {str(error).partition(chr(10))[0]}") from error


def _is_original(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "llava_qwen" or "LlavaQwenForCausalLM" in (config.get("architectures") or ())

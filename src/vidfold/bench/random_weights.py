"""Models of real architectures and sizes with random weights, without a download.

Their answers are meaningless. Operations and memory equal those of the real model, unless a method's number of tokens
depends on the content.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vidfold import extras
from vidfold.app.loading import checked_device

_BLOCK = 1_048_573
"""How many random numbers are drawn; weights repeat them. A prime, so that rows of a matrix differ."""


def _llava_onevision(width: int, inner: int, layers: int, heads: int, shared: int, words: int, tied: bool) -> Any:
    """Config of the checkpoints that transformers loads: 26 layers of SigLIP SO400M, and a Qwen2."""
    transformers = extras.load("transformers", "models")
    vision = transformers.SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=26, num_attention_heads=16, image_size=384,
        patch_size=14, vision_use_head=False,
    )  # fmt: skip
    language = transformers.Qwen2Config(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=shared, vocab_size=words, tie_word_embeddings=tied, max_position_embeddings=32768,
        rope_theta=1e6, rms_norm_eps=1e-6, pad_token_id=151643,
    )  # fmt: skip
    return transformers.LlavaOnevisionConfig(
        vision_config=vision, text_config=language, image_token_id=151646, video_token_id=151647,
        vision_feature_layer=-1, vision_feature_select_strategy="full", tie_word_embeddings=tied,
    )  # fmt: skip


def _qwen2_5_vl() -> Any:
    """Config of Qwen2.5-VL-3B."""
    vision = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": 2048,
    }  # fmt: skip
    language = {
        "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True, "max_position_embeddings": 128000,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        "rms_norm_eps": 1e-6, "pad_token_id": 151643,
    }  # fmt: skip
    return extras.load("transformers", "models").Qwen2_5_VLConfig(
        vision_config=vision, text_config=language, image_token_id=151655, video_token_id=151656,
        vision_start_token_id=151652, vision_end_token_id=151653, tie_word_embeddings=True,
    )  # fmt: skip


MODELS: dict[str, Callable[[], Any]] = {
    "llava-onevision-0.5b": partial(_llava_onevision, 896, 4864, 24, 14, 2, 152000, tied=True),
    "llava-onevision-7b": partial(_llava_onevision, 3584, 18944, 28, 28, 4, 152128, tied=False),
    "qwen2.5-vl-3b": _qwen2_5_vl,
}
"""Name -> config."""


def build(name: str, **settings: Any) -> Any:
    """A model of `MODELS` with random weights, in evaluation mode; see `from_config` for the settings.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; there are: {', '.join(sorted(MODELS))}")
    return from_config(MODELS[name](), **settings)


def from_config(
    config: Any, *, device: str | None = None, dtype: str = "bfloat16", attention: str | None = None, seed: int = 0
) -> Any:
    """A model with random weights, in evaluation mode.

    Matrices and embeddings are normal with variance 1 / fan-in, norms 1 and biases 0, so that outputs are finite at
    any depth. Only a million numbers are drawn; each weight repeats them from a different offset, so that filling seven
    billion is limited by memory bandwidth only. Generation never stops early: there is no end-of-text token.

    Args:
        config: config of a model that transformers loads as ``AutoModelForImageTextToText``.
        device: such as "cpu" or "cuda:1", or "meta" for shapes only; None: a GPU if there is one.
        dtype: dtype of the weights, the name of a floating torch dtype.
        attention: attention implementation of transformers; None: its default.
        seed: seed of the weights.

    Raises:
        ValueError: an unknown dtype, or a device that does not exist.
        MissingExtra: transformers or accelerate is not installed.
    """
    transformers, accelerate = extras.load("transformers", "models"), extras.load("accelerate", "models")
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"dtype must name a floating torch dtype, such as 'bfloat16', got {dtype!r}")
    place = checked_device(device)
    settings = {} if attention is None else {"attn_implementation": attention}
    # Parameters have no memory yet; buffers, such as rotary frequencies, are computed as usual.
    with torch.random.fork_rng(devices=[]), accelerate.init_empty_weights(include_buffers=False):
        model = transformers.AutoModelForImageTextToText.from_config(config, dtype=kind, **settings)
    _fill(model, place, seed)
    model.tie_weights()
    pad = config.get_text_config().pad_token_id
    model.generation_config = transformers.GenerationConfig(pad_token_id=0 if pad is None else pad)
    return model.to(place).eval()


@torch.no_grad()
def _fill(model: nn.Module, device: str, seed: int) -> None:
    """Replace empty parameters by random ones."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randn(_BLOCK, generator=generator).to(device)
    for module in model.modules():
        for name, empty in list(module.named_parameters(recurse=False)):
            if empty.ndim == 1 and name in ("weight", "bias"):
                value = torch.full_like(empty, float(name == "weight"), device=device)
            else:
                fan_in = empty[0].numel() if empty.ndim > 1 else empty.numel()
                offset = int(torch.randint(_BLOCK, (), generator=generator))
                value = _repeated((block.roll(offset) * fan_in**-0.5).to(empty.dtype), empty.shape)
            setattr(module, name, nn.Parameter(value))


def _repeated(block: Tensor, shape: torch.Size) -> Tensor:
    """A tensor of the given shape, filled row by row with repetitions of the block."""
    result = block.new_empty(shape)
    flat = result.view(-1)
    whole = len(flat) // len(block) * len(block)
    flat[:whole].view(-1, len(block)).copy_(block)
    flat[whole:].copy_(block[: len(flat) - whole])
    return result

"""LLaVA-OneVision at its real sizes with random weights, and random videos for it, without a download.

Its answers are meaningless. Operations and memory equal those of the real model, unless a method's number of tokens
depends on the content.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidfold import extras
from vidfold.app.loading import checked_device
from vidfold.checks import check_count
from vidfold.models import LlavaOnevision
from vidfold.tokens import Pooling


def _config(width: int, inner: int, layers: int, heads: int, shared: int, words: int, tied: bool) -> Any:
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


MODELS: dict[str, Callable[[], Any]] = {
    "llava-onevision-0.5b": partial(_config, 896, 4864, 24, 14, 2, 152000, tied=True),
    "llava-onevision-7b": partial(_config, 3584, 18944, 28, 28, 4, 152128, tied=False),
}
"""Name -> config."""


def build(name: str, **settings: Any) -> Any:
    """A model of `MODELS` with random weights; see `from_config` for the settings.

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
    any depth. Generation never stops early: there is no end-of-text token.

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
    kind, place = getattr(torch, dtype, None), checked_device(device)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"dtype must name a floating torch dtype, such as 'bfloat16', got {dtype!r}")
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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in model.modules():
            for name, empty in list(module.named_parameters(recurse=False)):
                value = torch.empty_like(empty, device=device)
                if empty.ndim == 1 and name in ("weight", "bias"):
                    value.fill_(float(name == "weight"))
                else:
                    fan_in = empty[0].numel() if empty.ndim > 1 else empty.numel()
                    value.normal_(0, fan_in**-0.5)
                setattr(module, name, nn.Parameter(value))


def inputs(model: Any, frames: int, batch: int = 1, text: int = 64, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs in the layout of the model's processor.

    Args:
        model: a LLaVA-OneVision.
        frames: F, frames per video.
        batch: B, prompts with one video each.
        text: text tokens per prompt, half of them before the video.
        seed: seed of pixels and text.

    Returns:
        ``input_ids`` and ``attention_mask`` (B, text + F * N + 1) int64 for N tokens a frame, and
        ``pixel_values_videos`` (B, F, 3, H, W) in the model's dtype, where frames of one video are similar; all on its
        device.

    Raises:
        ValueError: a count below 1, or a model of another family.
    """
    for name, count in (("frames", frames), ("batch", batch), ("text", text)):
        check_count(name, count)
    config, generator = model.config, torch.Generator().manual_seed(seed)
    if config.model_type != LlavaOnevision.model_type:
        raise ValueError(f"random inputs are for {LlavaOnevision.model_type} only, got {config.model_type}")
    side = config.vision_config.image_size
    special = (config.image_token_id, config.video_token_id, model.generation_config.pad_token_id)
    words = torch.arange(config.get_text_config().vocab_size)
    words = words[~torch.isin(words, torch.tensor(special))]
    prompts = words[torch.randint(len(words), (batch, text), generator=generator)]
    height, width = Pooling.BILINEAR.grid((side // config.vision_config.patch_size,) * 2)
    video = torch.full((batch, frames * height * width + LlavaOnevision.closing), config.video_token_id)
    ids = torch.cat([prompts[:, : text // 2], video, prompts[:, text // 2 :]], dim=1)
    scene = torch.randn(batch, 1, 3, side, side, generator=generator)
    pixels = scene + 0.5 * torch.randn(batch, frames, 3, side, side, generator=generator)
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pixels.to(model.dtype)}
    return {name: value.to(model.device) for name, value in made.items()}


def shown(model: Any, frames: NDArray[np.uint8]) -> dict[str, Tensor]:
    """``pixel_values_videos`` (1, F, 3, S, S) as a LLaVA-OneVision's processor makes them of frames (F, H, W, 3)."""
    side = model.config.vision_config.image_size
    pixels = torch.from_numpy(frames).movedim(-1, 1).float()
    square = functional.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True).round().clamp(0, 255)
    return {"pixel_values_videos": ((square / 255 - 0.5) / 0.5)[None].to(model.device, model.dtype)}

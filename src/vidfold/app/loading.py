"""Load a video language model and its processor the ordinary transformers way, with errors of one line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidfold import extras, models

TINY = "tiny"
"""The name of the embedded model."""

EMBEDDED: Mapping[str, Literal["varied", "whole"]] = {TINY: "varied", "tiny-whole": "whole"}
"""The names of the embedded model and its twin, and what their language models read in training at the end."""

Quantization = Literal["4bit", "8bit"]


@dataclass(frozen=True, eq=False)
class VideoModel:
    """A loaded model with its processor.

    Attributes:
        name: as it was asked for.
        model: the transformers model, in evaluation mode.
        processor: its processor.
        seconds: how long loading took.
    """

    name: str
    model: Any
    processor: Any
    seconds: float


def load(
    name: str = TINY,
    *,
    device: str | None = None,
    dtype: str | None = None,
    attention: str | None = None,
    quantization: Quantization | None = None,
) -> VideoModel:
    """Load a model of a supported family.

    Args:
        name: "tiny" for the embedded model, "tiny-whole" for its twin that was trained further on whole videos
            alone, a folder, or an identifier on the Hugging Face hub.
        device: such as "cpu", "cuda:1", or "auto" to spread it over all devices; None: a GPU where there is one.
        dtype: name of a torch dtype or "auto" for the checkpoint's own; None: "auto", float32 for the embedded ones.
        attention: attention implementation of transformers; None: its default.
        quantization: of the weights, by bitsandbytes.

    Raises:
        ValueError: no such model, a family that is not supported, or settings that this machine cannot serve.
        MissingExtra: transformers is not installed.
    """
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise ValueError(
            f"model {name!r} is not a folder; give 'tiny', 'tiny-whole', a folder or an identifier on the hub"
        )
    transformers = extras.load("transformers", "models")
    start = time.perf_counter()
    location, settings = name, {"dtype": dtype or "auto", "device_map": checked_device(device)}
    if name in EMBEDDED:
        from vidfold import tiny

        location = str(tiny.path(EMBEDDED[name]))
        settings["dtype"] = dtype or "float32"
    if attention is not None:
        settings["attn_implementation"] = attention
    if quantization is not None:
        settings["quantization_config"] = transformers.BitsAndBytesConfig(**{f"load_in_{quantization}": True})
    try:
        if _is_published(transformers, location):
            model, processor = models.load(location, **settings)
            return VideoModel(name, model, processor, time.perf_counter() - start)
        # The small file first: it tells whether the large ones are there and of use.
        _check_family(name, transformers.AutoConfig.from_pretrained(location))
        processor = transformers.AutoProcessor.from_pretrained(location)
        model = transformers.AutoModelForImageTextToText.from_pretrained(location, **settings)
    except (OSError, ImportError) as error:
        raise ValueError(f"model {name!r} cannot be loaded: {_reason(error)}") from error
    return VideoModel(name, model.eval(), processor, time.perf_counter() - start)


def checked_device(device: str | None) -> str:
    """The device; for None a GPU where there is one, else the CPU.

    Raises:
        ValueError: a CUDA device where there is none.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not there: this torch sees no CUDA device; use 'cpu'")
    return device


def _is_published(transformers: Any, location: str) -> bool:
    """Whether a config is there, and of a checkpoint that `vidfold.models.load` loads."""
    try:
        config, _ = transformers.PretrainedConfig.get_config_dict(location)
    except OSError:
        return False
    return models.is_published(config)


def _check_family(name: str, config: Any) -> None:
    if config.model_type not in models.FAMILIES:
        supported = ", ".join(sorted(models.FAMILIES))
        raise ValueError(f"model {name!r} is of the family {config.model_type!r}; supported are: {supported}")


def _reason(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    if "couldn't connect" in first:
        return "it is not in the local cache, and the hub cannot be reached; give a folder, or connect and try again"
    return first

"""Load a model by a name of the command line, the embedded ones too."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vidfold import extras, models
from vidfold.tiny import EMBEDDED

TINY = "tiny"
"""The name of the embedded model."""

Quantization = Literal["4bit", "8bit"]


def usual_frames(name: str | None) -> int:
    """Frames of a video if no number is given: 8 for the embedded models, else 32."""
    return 8 if name in EMBEDDED else 32


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

    def written(
        self, chat: Sequence[Mapping[str, Any]], template: str | None = None, *, add_generation_prompt: bool = True
    ) -> str:
        """A chat as the prompt that a template makes of it.

        Transformers runs templates in a sandbox of Jinja: they reach no modules and no attributes of Python's own, and
        a range ends at 100,000. Loops within loops may still take long.

        Args:
            chat: messages as `apply_chat_template` takes them.
            template: in Jinja; None is the processor's own.
            add_generation_prompt: whether the prompt ends where the answer begins.

        Raises:
            ValueError: a template that fails; the message names the model and the reason.
        """
        try:
            written: str = self.processor.apply_chat_template(
                chat, chat_template=template, add_generation_prompt=add_generation_prompt, tokenize=False
            )
        except Exception as error:  # a template is a program, and comes with the checkpoint
            raise ValueError(
                f"the chat template of model {self.name!r} fails: {type(error).__name__}: {error}"
            ) from error
        return written


def load(
    name: str = TINY,
    *,
    device: str | None = None,
    dtype: str | None = None,
    attention: str | None = None,
    quantization: Quantization | None = None,
    trust_remote_code: bool = False,
) -> VideoModel:
    """Load a model of a supported family.

    Args:
        name: as `vidfold.models.load` takes it.
        device: such as "cpu", "cuda:1", or "auto" to spread it over all devices; None: a GPU where there is one.
        dtype: name of a torch dtype or "auto" for the checkpoint's own; None: as `vidfold.models.load`.
        attention: attention implementation of transformers; None: its default.
        quantization: of the weights, by bitsandbytes.
        trust_remote_code: whether Python code that comes with the checkpoint may run.

    Raises:
        ValueError: what `vidfold.models.load` refuses, or a device that is not there.
        MissingExtra: transformers is not installed.
    """
    start = time.perf_counter()
    settings: dict[str, Any] = {"device_map": checked_device(device)}
    if dtype is not None:
        settings["dtype"] = dtype
    if attention is not None:
        settings["attn_implementation"] = attention
    if quantization is not None:
        transformers = extras.load("transformers", "models")
        settings["quantization_config"] = transformers.BitsAndBytesConfig(**{f"load_in_{quantization}": True})
    model, processor = models.load(name, trust_remote_code=trust_remote_code, **settings)
    return VideoModel(name, model, processor, time.perf_counter() - start)


def checked_device(device: str | None) -> str:
    """The device; for None a GPU where there is one, else the CPU. A ValueError for a CUDA device that is not there."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not there: this torch sees no CUDA device; use 'cpu'")
    return device

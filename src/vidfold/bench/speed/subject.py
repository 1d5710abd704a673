"""The model that is measured, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vidfold import models
from vidfold.app.asking import processed
from vidfold.app.loading import VideoModel
from vidfold.bench.provenance import weights_digest
from vidfold.models import Family
from vidfold.video import Frames

QUESTION = "What happens in this video, from its beginning to its end, and who or what takes part in it?"
TEXT = 64
"""Text tokens of a prompt of a model without a processor."""
DTYPE, SEED = "bfloat16", 0
"""Of random weights."""


def check_device(name: str) -> None:
    """Raise a ValueError where a device is none that time and memory can be read from."""
    try:
        known = torch.device(name).type in ("cpu", "cuda")
    except RuntimeError:
        known = False
    if not known:
        raise ValueError(f"speed is measured on one device, such as 'cpu' or 'cuda:1', got {name!r}")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with prompts for it.

    Attributes:
        name: as it was asked for.
        model: the transformers model.
        family: of the model.
        random: whether its weights are random.
        weights: a digest of them.
        inputs: from frames of a video and the number of videos to what the model is called with.
    """

    name: str
    model: Any
    family: Family
    random: bool
    weights: str
    inputs: Callable[[Frames, int], dict[str, Any]]

    @classmethod
    def of(cls, loaded: VideoModel) -> Subject:
        """A model with its processor, which is asked one question about every video."""

        def inputs(frames: Frames, batch: int) -> dict[str, Any]:
            return processed(loaded, frames, [QUESTION] * batch)

        model = loaded.model
        return cls(loaded.name, model, models.family(model), False, weights_digest(model), inputs)

    @classmethod
    def with_random_weights(
        cls, name: str, *, device: str | None = None, dtype: str | None = None, attention: str | None = None
    ) -> Subject:
        """A model of a real checkpoint's sizes and random weights, given random pixels.

        Raises:
            ValueError: no such model, or a device that is not there.
        """
        from vidfold.bench import random_inputs, random_weights

        if device is not None:
            check_device(device)
        kind = DTYPE if dtype in (None, "auto") else str(dtype)
        model = random_weights.build(name, device=device, dtype=kind, attention=attention, seed=SEED)

        def inputs(frames: Frames, batch: int) -> dict[str, Any]:
            return random_inputs.inputs(model, len(frames), batch, text=TEXT)

        return cls(name, model, models.family(model), True, weights_digest(model), inputs)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def width(self) -> int:
        """Bytes of one of its numbers."""
        return int(self.model.dtype.itemsize)

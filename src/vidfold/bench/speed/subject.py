"""The measured model and its inputs."""

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
"""Text tokens per prompt for a model without a processor."""
DTYPE, SEED = "bfloat16", 0
"""Dtype and seed of random weights."""


def check_device(name: str) -> None:
    """Raise a ValueError for a device whose time and memory cannot be measured."""
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
        name: the requested name.
        model: the transformers model.
        family: its family.
        random: whether its weights are random.
        weights: a digest of the weights.
        inputs: makes model inputs from the frames of a video and the number of videos.
    """

    name: str
    model: Any
    family: Family
    random: bool
    weights: str
    inputs: Callable[[Frames, int], dict[str, Any]]

    @classmethod
    def of(cls, loaded: VideoModel) -> Subject:
        """A model with its processor and one question about every video."""

        def inputs(frames: Frames, batch: int) -> dict[str, Any]:
            return processed(loaded, frames, [QUESTION] * batch)

        model = loaded.model
        return cls(loaded.name, model, models.family(model), False, weights_digest(model), inputs)

    @classmethod
    def with_random_weights(
        cls, name: str, *, device: str | None = None, dtype: str | None = None, attention: str | None = None
    ) -> Subject:
        """A model with the sizes of a real checkpoint, random weights and random pixels.

        Raises:
            ValueError: an unknown model, or a device that does not exist.
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
        """The model's device."""
        device: torch.device = self.model.device
        return device

    @property
    def width(self) -> int:
        """Bytes per number of the model's dtype."""
        return int(self.model.dtype.itemsize)

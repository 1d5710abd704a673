"""Frames that fit a question: a choice by a model that compares pictures with text, such as CLIP or SigLIP."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vidfold import extras
from vidfold.video.choosing import Numbers, Positions, covering
from vidfold.video.upright import Pixels

COVERAGE = 0.1
"""Weight of a frame that fits the question least, where the one that fits best has 1."""


@dataclass(frozen=True, eq=False)
class Relevant:
    """More frames where they fit the question, and some of everything; a `vidfold.video.choosing.Chooser`.

    The video is cut into runs as by `vidfold.video.choosing.Novel`, with frames weighted by how well they fit; of each
    run the frame that fits best is taken. Relevance with coverage is the aim of AKS (arXiv 2502.21271); the way is not
    that of its authors.

    Attributes:
        model: with ``get_image_features`` and ``get_text_features``.
        processor: of the model.
        question: about the video.
    """

    model: Any
    processor: Any
    question: str

    @classmethod
    def of(cls, name: str, question: str, device: str | None = None) -> "Relevant":
        """Load the model from a folder or the hub.

        Raises:
            ValueError: a model that does not compare pictures with text.
            MissingExtra: transformers is not installed.
        """
        transformers = extras.load("transformers", "models")
        try:
            model = transformers.AutoModel.from_pretrained(name, use_safetensors=True).to(device or "cpu").eval()
            processor = transformers.AutoProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise ValueError(f"{name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
        if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
            raise ValueError(
                f"{name!r} is a {type(model).__name__}, which does not compare pictures with text; give a CLIP or "
                "SigLIP model, such as 'openai/clip-vit-base-patch16'"
            )
        return cls(model, processor, question)

    def look(self, picture: Pixels) -> Numbers:
        """The embedding of a frame (H, W, 3), of length 1: (E,)."""
        inputs = self.processor(images=[picture], return_tensors="pt").to(self.model.device)
        return self._unit(self.model.get_image_features, inputs)

    @cached_property
    def _text(self) -> Numbers:
        settings = {"return_tensors": "pt", "padding": "max_length", "truncation": True}
        inputs = self.processor(text=[self.question], **settings).to(self.model.device)
        return self._unit(self.model.get_text_features, inputs)

    @torch.no_grad()
    def _unit(self, features: Any, inputs: Any) -> Numbers:
        output = features(**inputs)
        vector = torch.nn.functional.normalize(getattr(output, "pooler_output", output).float(), dim=-1)
        found: Numbers = vector[0].double().cpu().numpy()
        return found

    def choose(self, looks: Numbers, seconds: Numbers, frames: int) -> Positions:
        """See `vidfold.video.choosing.Chooser`."""
        return fitting(looks, looks @ self._text, seconds, frames)


def fitting(looks: Numbers, fit: Numbers, seconds: Numbers, frames: int) -> Positions:
    """The choice of `Relevant`, for n frames with embeddings ``looks`` (n, E) that fit the question by ``fit`` (n,)."""
    spread = float(np.ptp(fit))
    worth = (fit - fit.min()) / spread if spread > 0 else np.ones(len(fit))
    weights = seconds * (COVERAGE + (1 - COVERAGE) * worth)
    return covering(looks, weights, frames, COVERAGE, worth=worth, usable=False)

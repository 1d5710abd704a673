"""A vision tower without a language model: CLIP, SigLIP, DINOv2, or another of transformers that is built alike."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vidfold import extras
from vidfold.bench.provenance import weights_digest
from vidfold.models.attention.observing import chosen_layers, collected, leading
from vidfold.tokens import VideoTokens

BATCH = 8
"""Pictures at a time."""


@dataclass(frozen=True, eq=False)
class Tower:
    """A loaded tower that gives the hidden states of one of its layers.

    Attributes:
        name: the folder or hub identifier it was loaded from.
        model: the transformers model, with a text side or without.
        processor: its image processor.
        layer: number of the hidden state, as ``vision_feature_layer`` of LLaVA: 0 is the embeddings, -1 the last.

    Raises:
        ValueError: a layer that the tower does not have.
    """

    name: str
    model: Any
    processor: Any
    layer: int = -2

    def __post_init__(self) -> None:
        leading(self.attentions, self.layer)

    @classmethod
    def load(cls, name: str, layer: int = -2, device: str | None = None, dtype: str = "float32") -> "Tower":
        """Load a folder or a hub identifier.

        Raises:
            ValueError: there is no such model, or it is no vision tower that transformers knows.
        """
        transformers = extras.load("transformers", "models")
        try:
            config = transformers.AutoConfig.from_pretrained(name)
            kind = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModel)
            model = kind.from_pretrained(name, dtype=getattr(torch, dtype)).eval()
            processor = transformers.AutoImageProcessor.from_pretrained(name)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{name!r} cannot be loaded as a vision tower: {error}") from error
        return cls(name, model.to(device or "cpu"), processor, layer)

    @property
    def vision(self) -> Any:
        """The part that sees."""
        return getattr(self.model, "vision_model", self.model)

    @property
    def attentions(self) -> list[nn.Module]:
        """Attention modules of all its layers, first to last."""
        return [each for each in self.vision.encoder.modules() if hasattr(each, "is_causal")]

    @property
    def depth(self) -> int:
        """Number of layers that lead to its features."""
        return len(leading(self.attentions, self.layer))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, dtype, image processing and layer: equal towers give equal features."""
        known = (weights_digest(self.model), str(self.model.dtype), self.depth, self.processor.to_dict())
        return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> VideoTokens:
        """Encode pictures (F, H, W, 3) uint8 RGB.

        Returns:
            Hidden states (F, N, D) of the patches as features, on the CPU in float32, with the attention they receive
            in a shallow and a deep layer and the keys of the last layer that leads to them. Tokens that are no patches
            (class, registers) attend, and are left out.
        """
        before = leading(self.attentions, self.layer)
        observed = chosen_layers(None, None, len(before))
        modules = {name: before[place] for name, place in observed.items()} | {"keys": before[-1]}
        parts = [self._batch(pixels[start : start + BATCH], modules) for start in range(0, len(pixels), BATCH)]
        grid = parts[0].pop("grid")
        fields: dict[str, Any] = {name: torch.cat([part[name] for part in parts]).float().cpu() for name in parts[0]}
        return VideoTokens(grid=grid, **fields)

    def _batch(self, pixels: NDArray[np.uint8], modules: dict[str, nn.Module]) -> dict[str, Any]:
        shown = self.processor(images=list(pixels), return_tensors="pt")["pixel_values"]
        with collected(modules) as seen:
            states = self.vision(
                shown.to(self.model.device, self.model.dtype), output_hidden_states=True
            ).hidden_states[self.depth]
        height, width = (side // self.vision.config.patch_size for side in shown.shape[-2:])
        own = states.shape[1] - height * width
        maps = {name: torch.cat(each) for name, each in seen.items()} | {"features": states.flatten(0, 1)}
        patches = {name: each.view(*states.shape[:2], *each.shape[1:])[:, own:] for name, each in maps.items()}
        return patches | {"grid": (height, width)}

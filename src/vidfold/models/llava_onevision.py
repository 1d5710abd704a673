"""LLaVA-OneVision (Li et al. 2024, arXiv:2408.03326) as transformers loads it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models import prompt
from vidfold.models.base import Family, Inputs
from vidfold.models.saliency import Observer, layer_index, observe, received
from vidfold.tokens import Pooling, Reduction, VideoTokens

SHALLOW_LAYER, DEEP_LAYER = 5, -2
REFERENCE_DEPTH = 26


@dataclass(frozen=True, eq=False)
class LlavaOnevision(Family):
    """A SigLIP tower, a projector, bilinear pooling by two, one newline token at the end of every video.

    Layers are counted over those of the loaded tower that lead to its features. A checkpoint of transformers carries 26
    of the 27 layers of SigLIP SO400M and reads the last one, so there -1 is the 26th layer.

    Attributes:
        model: a ``LlavaOnevisionForConditionalGeneration``.
        shallow_layer: whose received attention is `VideoTokens.shallow`; None is index 5, and in a tower of fewer
            layers the same share of the depth, round(5/26 · depth).
        deep_layer: whose received attention is `VideoTokens.deep`; None is index -2, and the only layer of a tower
            that has but one.

    Raises:
        ValueError: a model of another build, or layers its tower does not have.
    """

    shallow_layer: int | None = None
    deep_layer: int | None = None

    model_type: ClassVar[str] = "llava_onevision"
    gives: ClassVar[frozenset[str]] = frozenset({"shallow", "deep", "keys"})
    closing: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("get_video_features", "vision_tower", "multi_modal_projector"):
            if not hasattr(self._base, name):
                raise ValueError(f"{type(self.model).__name__} has no {name}: it is no LLaVA-OneVision of transformers")
        if "mm_encoder_outputs" not in inspect.signature(self.model.forward).parameters:
            raise ValueError(
                f"{type(self.model).__name__} takes no mm_encoder_outputs: transformers 5.19 or newer does"
            )
        self.observed_layers()

    @property
    def _base(self) -> Any:
        return self.model.base_model

    def _attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of the layers that lead to the features."""
        encoder = getattr(self._base.vision_tower, "vision_model", self._base.vision_tower).encoder
        modules = [layer.self_attn for layer in encoder.layers]
        chosen = inputs.get("vision_feature_layer")
        chosen = self.model.config.vision_feature_layer if chosen is None else chosen
        # Hidden states are counted from the embeddings, number 0, so number n is what n layers made.
        states = [chosen] if isinstance(chosen, int) else chosen
        depth = max(layer_index("vision_feature_layer", state, len(modules) + 1) for state in states)
        return modules[: max(1, depth)]

    def observed_layers(self, inputs: Inputs | None = None) -> dict[str, int]:
        """Positions 0... in the tower of the layers that ``shallow`` and ``deep`` come from."""
        depth = len(self._attentions(inputs or {}))
        shallow, deep = self.shallow_layer, self.deep_layer
        if shallow is None:
            shallow = SHALLOW_LAYER if depth > SHALLOW_LAYER else round(SHALLOW_LAYER / REFERENCE_DEPTH * depth)
        if deep is None:
            deep = max(DEEP_LAYER, -depth)
        return {
            "shallow": layer_index("shallow_layer", shallow, depth),
            "deep": layer_index("deep_layer", deep, depth),
        }

    def has_video(self, inputs: Inputs) -> bool:
        """Whether ``pixel_values_videos`` is there."""
        return inputs.get("pixel_values_videos") is not None

    def places(self, ids: Tensor) -> Tensor:
        """Where token ids (B, L) are the video token, (B, L) bool."""
        place: int = self.model.config.video_token_id
        return ids == place

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        pixels = inputs["pixel_values_videos"]
        if not isinstance(pixels, Tensor) or pixels.ndim != 5 or 0 in pixels.shape:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(f"pixel_values_videos must be (videos, frames, channels, height, width), got {shape}")
        videos, frames = pixels.shape[:2]
        modules = self._attentions(inputs)
        layers = self.observed_layers(inputs)
        seen: dict[str, Tensor] = {}
        thread = threading.get_ident()

        def remember(name: str) -> Observer:
            def observer(query: Tensor, key: Tensor, scale: float) -> None:
                seen[name] = key.mean(1) if name == "keys" else received(query, key, scale)

            return observer

        # The projector's output is caught on the model's own way to its pooled features.
        def catch(_: nn.Module, __: Any, output: Tensor) -> None:
            if threading.get_ident() == thread:
                seen["features"] = output

        hook = self._base.multi_modal_projector.register_forward_hook(catch)
        try:
            with observe([(modules[layers.get(name, -1)], remember(name)) for name in sorted(needs)]):
                self._base.get_video_features(**_accepted(self._base.get_video_features, inputs))
        finally:
            hook.remove()
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        per_video = {name: value.view(videos, frames, *value.shape[1:]) for name, value in seen.items()}
        return [
            VideoTokens(
                grid=(side, side), pooling=Pooling.BILINEAR, **{name: value[i] for name, value in per_video.items()}
            )
            for i in range(videos)
        ]

    def splice(self, inputs: Inputs, reductions: Sequence[Reduction]) -> dict[str, Any]:
        """Inputs with the reductions in the place of the video; see `Family.splice`.

        Every video keeps as many placeholders as it has tokens left and its newline; rows that become unequal are
        padded again. Images of the same prompts are encoded here, since the model takes encoder outputs for all or
        for none.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        ids = inputs.get("input_ids")
        if not isinstance(ids, Tensor) or ids.ndim != 2:
            shape = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
            raise ValueError(f"input_ids must be a (batch, length) tensor holding the video's places, got {shape}")
        if isinstance(inputs.get("logits_to_keep"), Tensor):
            raise ValueError("logits_to_keep as a tensor names positions of the full prompt: give a number")
        stays = prompt.keep(
            self.places(ids),
            before=[reduction.full + self.closing for reduction in reductions],
            after=[len(reduction) + self.closing for reduction in reductions],
        )
        newline = self._base.image_newline[None]
        tokens = [part for reduction in reductions for part in (reduction.tokens, newline.to(reduction.tokens))]
        outputs = dict(inputs.get("mm_encoder_outputs") or {})
        if inputs.get("pixel_values") is not None:
            outputs["image"] = self._base.get_image_features(**_accepted(self._base.get_image_features, inputs))
        # One row a token: generate hands rows to beams by counting them, and (1, total, D) would go to wrong prompts.
        outputs["video"] = BaseModelOutputWithPooling(pooler_output=torch.cat(tokens)[:, None])
        encoded = {"pixel_values", "image_sizes", "batch_num_images", "pixel_values_videos", "image_sizes_videos"}
        rest = {name: value for name, value in inputs.items() if name not in encoded}
        pad = getattr(self.model.generation_config, "pad_token_id", None)
        return rest | prompt.shorten(inputs, stays, 0 if pad is None else pad) | {"mm_encoder_outputs": outputs}


def _accepted(function: Any, inputs: Inputs) -> dict[str, Any]:
    """Those of the inputs that a feature function of the model takes by name."""
    names = inspect.signature(function).parameters
    return {name: inputs[name] for name in names if inputs.get(name) is not None} | {"return_dict": True}

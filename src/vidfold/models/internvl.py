"""InternVL3 and InternVL3.5 (Zhu et al. 2025, arXiv:2504.10479; Wang et al. 2025, arXiv:2508.18265) in transformers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import leading
from vidfold.models.base import Family, Inputs, accepted, by_cell
from vidfold.models.partial.tower import Tower, patched, state_layers
from vidfold.models.prompts.tiles import Visuals, visuals
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True, eq=False)
class InternVL(Family):
    """An InternViT tower with a CLS token, 2x2 patches shuffled into one token, a projector; frames are images.

    The grid is that of the tokens, so there is no pooling after it. The attention that a token receives is the mean
    over its patches, in the order of the shuffle. The CLS token is part of the softmax and one of the queries; the
    attention that it receives is left out.

    The model knows no videos: prompts and pixels hold pictures, and the text says which are frames. Pictures are a
    video where they are labelled as the model's processor labels frames: ``Frame1: <img>...</img>``, a new line,
    ``Frame2: <img>...</img>``. All others are images, also a single frame; `vidfold.models.prompts.tiles.visuals` has
    the exact rule. Where it is wrong, the call says so: ``generate(..., video_frames=(8, 0))`` gives the frames of
    every video and 0 for every image, in the order of the prompts; ``model(...)``, `encode` and `splice` take it too.

    Frames that lose all tokens keep their text.

    Images are tiles one above the other: a video of one frame.
    """

    model_type: ClassVar[str] = "internvl"
    contrast: ClassVar[float] = 0.226
    reads: ClassVar[tuple[str, ...]] = ("get_image_features", "pixel_shuffle", "vision_tower", "multi_modal_projector")
    saliency: ClassVar[str] = "mean, CLS asks too"
    text_between_frames: ClassVar[bool] = True
    pixels: ClassVar[frozenset[str]] = frozenset({"pixel_values", "visuals"})
    said: ClassVar[frozenset[str]] = frozenset({"video_frames"})

    @property
    def _size(self) -> int:
        """Placeholders, and tokens, of one picture."""
        config = self.model.config
        height, width = (
            int(side // patch * config.downsample_ratio)
            for side, patch in zip(config.vision_config.image_size, config.vision_config.patch_size, strict=True)
        )
        return height * width

    def attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of the layers that lead to the features."""
        return leading([layer.attention for layer in self.base.vision_tower.encoder.layer], self._states(inputs))

    def _states(self, inputs: Inputs) -> int | Sequence[int]:
        """Numbers of the hidden states that are the features."""
        chosen = inputs.get("vision_feature_layer")
        states: int | Sequence[int] = self.model.config.vision_feature_layer if chosen is None else chosen
        return states

    def tower(self, inputs: Inputs) -> Tower:
        """A unit is a patch; CLS is computed in every frame of which a patch is."""
        layers = list(self.base.vision_tower.encoder.layer)
        ends = state_layers(layers, self._states(inputs))
        return Tower(self.base.vision_tower, layers, [layer.attention for layer in layers], ends, prefix=1)

    def units(self, inputs: Inputs) -> list[Tensor]:
        """Patches of every video."""
        pixels, counts = self._pictures(inputs, video=True)
        height, width = self.model.config.vision_config.patch_size
        return list(torch.split(patched(pixels, height, width) * self.contrast, counts))

    def prepared(self, inputs: Inputs) -> Inputs:
        """The inputs with the `Visuals` of their prompts, where they have pixels and prompts."""
        if "visuals" in inputs or any(inputs.get(name) is None for name in ("pixel_values", "input_ids")):
            return inputs
        return {**inputs, "visuals": self._visuals(inputs)}

    def _visuals(self, inputs: Inputs) -> Visuals:
        if "visuals" in inputs:
            found: Visuals = inputs["visuals"]
            return found
        frames = inputs.get("video_frames")
        if frames is not None:
            frames = frames.tolist() if isinstance(frames, Tensor) else list(frames)
            if not all(isinstance(each, int) and each >= 0 for each in frames):
                raise ValueError(f"video_frames must be counts of frames, and 0 for images, got {frames!r}")
        return visuals(inputs["input_ids"], self.model.config.image_token_id, self._size, frames)

    def has_video(self, inputs: Inputs) -> bool:
        """Whether there are pixels and the prompts hold a video.

        Pixels without ``input_ids`` count as one video. So do pixels that the prompts have no place for: they raise an
        error later.
        """
        if inputs.get("pixel_values") is None:
            return False
        video = None if inputs.get("input_ids") is None else self._visuals(inputs).video
        return video is None or not len(video) or bool(video.any())

    def has_images(self, inputs: Inputs) -> bool:
        """Whether there are pixels and the prompts hold an image."""
        if inputs.get("pixel_values") is None or inputs.get("input_ids") is None:
            return False
        return not bool(self._visuals(inputs).video.all())

    def places(self, inputs: Inputs) -> Tensor:
        """Where ``input_ids`` (B, L) are placeholders of a frame, (B, L) bool."""
        return self._visuals(inputs).video_places.to(inputs["input_ids"].device)

    def image_places(self, inputs: Inputs) -> Tensor:
        """Where ``input_ids`` (B, L) are placeholders of an image, (B, L) bool."""
        return self._visuals(inputs).image_places.to(inputs["input_ids"].device)

    def _pictures(self, inputs: Inputs, *, video: bool) -> tuple[Tensor, list[int]]:
        """Pixels (pictures, 3, S, S) of the videos or of the images, and how many pictures each of those has."""
        pixels = inputs["pixel_values"]
        if not isinstance(pixels, Tensor) or pixels.ndim != 4 or 0 in pixels.shape:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(f"pixel_values must be (pictures, channels, height, width), got {shape}")
        if inputs.get("input_ids") is None:
            return pixels, [len(pixels)]
        found = self._visuals(inputs)
        if (total := int(found.tiles.sum())) != len(pixels):
            raise ValueError(
                f"the prompts hold placeholders of {total} pictures, but pixel_values are {len(pixels)}: make both in "
                "one call of the processor"
            )
        chosen = found.video == video
        if not bool(chosen.all()):  # without waiting for the pixels' device
            pixels = pixels[chosen.repeat_interleave(found.tiles).nonzero()[:, 0].to(pixels.device)]
        return pixels, found.tiles[chosen].tolist()

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        return self._encoded(inputs, needs, video=True)

    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        return self._encoded(inputs, needs, video=False)

    def _encoded(self, inputs: Inputs, needs: frozenset[str], *, video: bool) -> list[VideoTokens]:
        pixels, counts = self._pictures(inputs, video=video)
        output, seen = self._seen(self.base.get_image_features, {**inputs, "pixel_values": pixels}, needs)
        maps = {name: self._shuffled(values.view(len(pixels), -1, *values.shape[1:])) for name, values in seen.items()}
        maps["features"] = output.pooler_output
        side = math.isqrt(output.pooler_output.shape[1])
        found = []
        for i, count in enumerate(counts):
            parts: dict[str, Any] = {name: torch.split(values, counts)[i] for name, values in maps.items()}
            if not video:
                parts = {name: tiles.flatten(0, 1)[None] for name, tiles in parts.items()}
            found.append(VideoTokens(check=False, grid=(side if video else count * side, side), **parts))
        return found

    def _shuffled(self, values: Tensor) -> Tensor:
        """Values (T, 1 + H*W, ...) of CLS and patches, averaged over the patches of each token: (T, N, ...)."""
        maps = values[:, 1:].flatten(2) if values.ndim == 3 else values[:, 1:, None]
        pictures, patches, width = maps.shape
        side = math.isqrt(patches)
        # The model's own shuffle puts the patches of a token next to each other, so the order is the same.
        blocks: Tensor = self.base.pixel_shuffle(
            maps.view(pictures, side, side, width), scale_factor=self.model.config.downsample_ratio
        )
        mean = blocks.reshape(pictures, -1, blocks.shape[-1] // width, width).mean(2)
        return mean if values.ndim == 3 else mean[..., 0]

    def outputs(
        self, inputs: Inputs, videos: Sequence[Reduction], images: Sequence[Reduction] | None
    ) -> dict[str, Any]:
        """Tokens of videos and images in the order of the prompts, since the model takes all for images."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        found = self._visuals(inputs)
        shown = iter([each.tokens[by_cell(each)] for each in videos])
        if images is not None:
            still = iter([each.tokens[by_cell(each)] for each in images])
        elif bool((~found.video).any()):
            pixels, counts = self._pictures(inputs, video=False)
            encode = self.base.get_image_features
            whole = encode(**accepted(encode, {**inputs, "pixel_values": pixels})).pooler_output
            still = iter([part.flatten(0, 1) for part in torch.split(whole, counts)])
        parts = [next(shown if video else still) for video in found.video.tolist()]
        outputs = dict(inputs.get("mm_encoder_outputs") or {})
        if parts:
            # One row per token: generate repeats rows for beams; (1, total, D) would go to the wrong prompts.
            outputs["image"] = BaseModelOutputWithPooling(pooler_output=torch.cat(parts)[:, None])
        return outputs

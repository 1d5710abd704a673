"""InternVL3 and InternVL3.5 (Zhu et al. 2025, arXiv:2504.10479; Wang et al. 2025, arXiv:2508.18265) in transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import Attended, Observer, chosen_layers, layer_index, observe
from vidfold.models.base import Family, Inputs, accepted, by_cell, cell_slots
from vidfold.models.builds import check_build
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

    Attributes:
        model: an ``InternVLForConditionalGeneration``.
        shallow_layer: whose received attention is `VideoTokens.shallow`; None is as `observing.chosen_layers` says.
        deep_layer: whose received attention is `VideoTokens.deep`; None as well.

    Raises:
        ValueError: a model of another build, or layers its tower does not have.
    """

    shallow_layer: int | None = None
    deep_layer: int | None = None

    model_type: ClassVar[str] = "internvl"
    gives: ClassVar[frozenset[str]] = frozenset({"shallow", "deep", "keys"})
    saliency: ClassVar[str] = "mean, CLS asks too"
    pixels: ClassVar[frozenset[str]] = frozenset({"pixel_values", "visuals"})
    said: ClassVar[frozenset[str]] = frozenset({"video_frames"})
    folds_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_build(
            self.model, self.model_type, "get_image_features", "pixel_shuffle", "vision_tower", "multi_modal_projector"
        )
        self.observed_layers()

    @property
    def _base(self) -> Any:
        return self.model.base_model

    @property
    def _size(self) -> int:
        """Placeholders, and tokens, of one picture."""
        config = self.model.config
        height, width = (
            int(side // patch * config.downsample_ratio)
            for side, patch in zip(config.vision_config.image_size, config.vision_config.patch_size, strict=True)
        )
        return height * width

    def _attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of the layers that lead to the features."""
        modules = [layer.attention for layer in self._base.vision_tower.encoder.layer]
        chosen = inputs.get("vision_feature_layer")
        chosen = self.model.config.vision_feature_layer if chosen is None else chosen
        # Hidden state 0 is the embeddings, so hidden state n is the output of layer n.
        depth = layer_index("vision_feature_layer", chosen, len(modules) + 1)
        return modules[: max(1, depth)]

    def observed_layers(self, inputs: Inputs | None = None) -> dict[str, int]:
        """Positions 0... in the tower of the layers that ``shallow`` and ``deep`` come from."""
        return chosen_layers(self.shallow_layer, self.deep_layer, len(self._attentions(inputs or {})))

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

    def slots(self, reduction: Reduction) -> Tensor:
        """The placeholders of the tokens' own frames and cells: between frames there is text."""
        return cell_slots(reduction).sort().values

    def _pictures(self, inputs: Inputs) -> tuple[Tensor, Visuals]:
        """Pixels (pictures, 3, S, S), and to which videos and images they belong."""
        pixels = inputs["pixel_values"]
        if not isinstance(pixels, Tensor) or pixels.ndim != 4 or 0 in pixels.shape:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(f"pixel_values must be (pictures, channels, height, width), got {shape}")
        if inputs.get("input_ids") is None:
            count = torch.tensor([len(pixels)])
            none = torch.zeros(0, 0, dtype=torch.bool)
            return pixels, Visuals(count, torch.tensor([True]), none, none)
        found = self._visuals(inputs)
        if (total := int(found.tiles.sum())) != len(pixels):
            raise ValueError(
                f"the prompts hold placeholders of {total} pictures, but pixel_values are {len(pixels)}: make both in "
                "one call of the processor"
            )
        return pixels, found

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        pixels, found = self._pictures(inputs)
        counts = found.tiles[found.video].tolist()
        return self._tokens(inputs, _chosen(pixels, found.tile_video), counts, needs)

    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        pixels, found = self._pictures(inputs)
        counts = found.tiles[~found.video].tolist()
        tiles = self._tokens(inputs, _chosen(pixels, ~found.tile_video), counts, needs)
        return [_stacked(each) for each in tiles]

    def _tokens(
        self, inputs: Inputs, pixels: Tensor, counts: Sequence[int], needs: frozenset[str]
    ) -> list[VideoTokens]:
        """Encode pictures (T, 3, S, S) of which ``counts`` belong together."""
        modules, layers = self._attentions(inputs), self.observed_layers(inputs)
        seen: dict[str, Tensor] = {}

        def remember(name: str) -> Observer:
            def observer(attended: Attended) -> None:
                values = attended.key.mean(1) if name == "keys" else attended.received()[..., None]
                seen[name] = self._shuffled(values[:, 1:])

            return observer

        with observe([(modules[layers.get(name, -1)], remember(name)) for name in sorted(needs)]):
            features = self._features(inputs, pixels)
        side = math.isqrt(features.shape[1])
        seen["features"] = features
        split: dict[str, Any] = {name: torch.split(values, list(counts)) for name, values in seen.items()}
        return [
            VideoTokens(check=False, grid=(side, side), **{name: parts[i] for name, parts in split.items()})
            for i in range(len(counts))
        ]

    def _features(self, inputs: Inputs, pixels: Tensor) -> Tensor:
        """Tokens (T, N, D) of pictures."""
        encode = self._base.get_image_features
        output = encode(**accepted(encode, {**inputs, "pixel_values": pixels}))
        features: Tensor = output.pooler_output
        return features

    def _shuffled(self, values: Tensor) -> Tensor:
        """Per-patch values (T, H*W, E) averaged over the patches of each token: (T, N, E), or (T, N) where E is 1."""
        pictures, patches, width = values.shape
        side = math.isqrt(patches)
        # The model's own shuffle puts the patches of a token next to each other, so the order is the same.
        blocks: Tensor = self._base.pixel_shuffle(
            values.view(pictures, side, side, width), scale_factor=self.model.config.downsample_ratio
        )
        mean = blocks.reshape(pictures, -1, blocks.shape[-1] // width, width).mean(2)
        return mean[..., 0] if width == 1 else mean

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
            pixels, _ = self._pictures(inputs)
            whole = self._features(inputs, _chosen(pixels, ~found.tile_video))
            still = iter([part.flatten(0, 1) for part in torch.split(whole, found.tiles[~found.video].tolist())])
        parts = [next(shown if video else still) for video in found.video.tolist()]
        outputs = dict(inputs.get("mm_encoder_outputs") or {})
        if parts:
            # One row per token: generate repeats rows for beams; (1, total, D) would go to the wrong prompts.
            outputs["image"] = BaseModelOutputWithPooling(pooler_output=torch.cat(parts)[:, None])
        return outputs


def _chosen(pixels: Tensor, which: Tensor) -> Tensor:
    """Pictures by a mask on the CPU, without waiting for the pixels' device; all of them without a copy."""
    return pixels if bool(which.all()) else pixels[which.nonzero()[:, 0].to(pixels.device)]


def _stacked(tiles: VideoTokens) -> VideoTokens:
    """Tiles (T, N, D) of an image one above the other: a single frame."""
    height, width = tiles.grid

    def one(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.flatten(0, 1)[None]

    return VideoTokens(
        check=False,
        features=tiles.features.flatten(0, 1)[None],
        grid=(len(tiles.features) * height, width),
        shallow=one(tiles.shallow),
        deep=one(tiles.deep),
        keys=one(tiles.keys),
    )

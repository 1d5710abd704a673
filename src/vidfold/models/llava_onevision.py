"""LLaVA-OneVision (Li et al. 2024, arXiv:2408.03326) as transformers loads it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import Attended, Observer, chosen_layers, layer_index, observe
from vidfold.models.base import Family, Inputs, accepted
from vidfold.models.builds import check_build
from vidfold.newlines import with_newlines
from vidfold.tokens import Grid, Pooling, Reduction, VideoTokens


@dataclass(frozen=True, eq=False)
class LlavaOnevision(Family):
    """A SigLIP tower, a projector, bilinear pooling by two, one newline token at the end of every video.

    Images are read unpooled: alone in a prompt as a whole, and in crops whose map has a newline after every row; among
    several as a whole with one newline behind. Where they are folded, whole and map are folded each by itself, and a
    row of the map that keeps no token loses its newline.

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
    saliency: ClassVar[str] = "every patch"
    closing: ClassVar[int] = 1
    folds_images: ClassVar[bool] = True
    pixels: ClassVar[frozenset[str]] = frozenset(
        {"pixel_values", "image_sizes", "batch_num_images", "pixel_values_videos", "image_sizes_videos"}
    )

    def __post_init__(self) -> None:
        check_build(self.model, self.model_type, "get_video_features", "vision_tower", "multi_modal_projector")
        self.observed_layers()

    @property
    def pooling(self) -> Pooling:
        """How the model shrinks its encoder grid."""
        return Pooling.BILINEAR

    @property
    def newline(self) -> Tensor | None:
        """The vector (D,) that ends every row of the pooled grid, or None."""
        return None

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
        return chosen_layers(self.shallow_layer, self.deep_layer, len(self._attentions(inputs or {})))

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        pixels = inputs["pixel_values_videos"]
        if not isinstance(pixels, Tensor) or pixels.ndim != 5 or 0 in pixels.shape:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(f"pixel_values_videos must be (videos, frames, channels, height, width), got {shape}")
        videos, frames = pixels.shape[:2]
        seen = self._seen(self._base.get_video_features, inputs, needs)
        per_video = {name: value.view(videos, frames, *value.shape[1:]) for name, value in seen.items()}
        newline = None if self.newline is None else self.newline.to(seen["features"])
        layout: dict[str, Any] = {"grid": self._grid, "pooling": self.pooling, "newline": newline, "check": False}
        return [VideoTokens(**layout | {name: value[i] for name, value in per_video.items()}) for i in range(videos)]

    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        seen = self._seen(self._base.get_image_features, inputs, needs)
        # Whatever the tower gives of the pictures is laid out as the model lays out its features.
        packed = {name: torch.cat(self._packed(inputs, values)) for name, values in seen.items()}
        views = self._views(inputs)
        sizes = [height * width for (height, width), _ in views]
        split: dict[str, Any] = {name: torch.split(values, sizes) for name, values in packed.items()}
        return [
            VideoTokens(check=False, grid=grid, **{name: parts[i][None] for name, parts in split.items()})
            for i, (grid, _) in enumerate(views)
        ]

    def _seen(self, encode: Any, inputs: Inputs, needs: frozenset[str]) -> dict[str, Tensor]:
        """What the tower gives while ``encode`` runs: ``features`` (pictures, H*W, D), and the needs likewise."""
        modules = self._attentions(inputs)
        layers = self.observed_layers(inputs)
        seen: dict[str, Tensor] = {}
        thread = threading.get_ident()

        def remember(name: str) -> Observer:
            def observer(attended: Attended) -> None:
                seen[name] = attended.key.mean(1) if name == "keys" else attended.received()

            return observer

        # The projector's output is caught on the model's own way to its packed or pooled features.
        def catch(_: nn.Module, __: Any, output: Tensor) -> None:
            if threading.get_ident() == thread:
                seen["features"] = output

        hook = self._base.multi_modal_projector.register_forward_hook(catch)
        try:
            with observe([(modules[layers.get(name, -1)], remember(name)) for name in sorted(needs)]):
                encode(**accepted(encode, inputs))
        finally:
            hook.remove()
        return seen

    @property
    def _grid(self) -> Grid:
        """Patches of a picture."""
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        return side, side

    def _crops(self, inputs: Inputs) -> list[int]:
        """Pictures that the tower sees of every image: the whole, and crops of it if it is alone in its prompt."""
        from transformers.models.llava_onevision.modeling_llava_onevision import image_size_to_num_patches

        sizes, counts = inputs["image_sizes"], inputs.get("batch_num_images")
        numbers = [1] * len(sizes) if counts is None else [int(count) for count in counts]
        if sum(numbers) != len(sizes):
            raise ValueError(f"batch_num_images says {numbers}, but image_sizes are those of {len(sizes)} images")
        alone = [count == 1 for count in numbers for _ in range(count)]
        points, side = self.model.config.image_grid_pinpoints, self.model.config.vision_config.image_size
        return [
            image_size_to_num_patches(size, points, side) if one else 1 for size, one in zip(sizes, alone, strict=True)
        ]

    def _packed(self, inputs: Inputs, values: Tensor, newline: Tensor | None = None) -> list[Tensor]:
        """Values (pictures, H*W) or (pictures, H*W, E) as the model lays out its features: of each image (tokens, E).

        Args:
            inputs: with images.
            values: of all pictures that the tower sees of them.
            newline: (E,), put where the model puts its newlines; None leaves them out.
        """
        aspect = inputs.get("vision_aspect_ratio") or self.model.config.vision_aspect_ratio
        channels = values if values.ndim == 3 else values[..., None]
        images = torch.split(channels, self._crops(inputs))
        packed, _ = self._base.pack_image_features(images, inputs["image_sizes"], newline, aspect)
        return [image if values.ndim == 3 else image[..., 0] for image in packed]

    def _views(self, inputs: Inputs) -> list[tuple[Grid, int]]:
        """Grids in which the model reads the images, in order, and how many newlines it puts into each."""
        crops, (height, width) = self._crops(inputs), self._grid
        nothing = torch.zeros(sum(crops), height * width, 1)
        views: list[tuple[Grid, int]] = []
        for count, bare, full in zip(
            crops, self._packed(inputs, nothing), self._packed(inputs, nothing, torch.zeros(1)), strict=True
        ):
            rows = len(full) - len(bare)
            if count == 1:
                views.append(((height, width), rows))
            else:
                views += [((height, width), 0), ((rows, (len(bare) - height * width) // rows), rows)]
        return views

    def arranged_images(self, inputs: Inputs, images: Sequence[Reduction]) -> list[Reduction]:
        """The map of crops with a newline after every row that keeps a token, a lone whole with one at its end."""
        views = self._views(inputs)
        if len(views) != len(images):
            raise ValueError(f"the images are read in {len(views)} grids, but {len(images)} reductions were given")
        newline = self._base.image_newline
        arranged = []
        for reduction, (_, newlines) in zip(images, views, strict=True):
            if newlines > 1 and not reduction.newlines:
                reduction = with_newlines(reduction, newline.to(reduction.tokens))
            elif newlines == 1 and not reduction.newlines:
                reduction = _closed(reduction, newline.to(reduction.tokens))
            arranged.append(reduction)
        return arranged

    def image_slots(self, inputs: Inputs, images: Sequence[Reduction]) -> list[tuple[int, Tensor]]:
        """Placeholders with the model's newlines, of which the tokens take the first."""
        return [
            (reduction.full + newlines, torch.arange(len(reduction)))
            for reduction, (_, newlines) in zip(images, self._views(inputs), strict=True)
        ]

    def outputs(
        self, inputs: Inputs, videos: Sequence[Reduction], images: Sequence[Reduction] | None
    ) -> dict[str, Any]:
        """Every video's tokens and its closing newline; images as they are given, or as the model encodes them."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        closing = self._base.image_newline.expand(self.closing, -1)
        tokens = [part for reduction in videos for part in (reduction.tokens, closing.to(reduction.tokens))]
        outputs = dict(inputs.get("mm_encoder_outputs") or {})
        if images is not None:
            outputs["image"] = BaseModelOutputWithPooling(pooler_output=[each.tokens for each in images])
        elif inputs.get("pixel_values") is not None:
            outputs["image"] = self._base.get_image_features(**accepted(self._base.get_image_features, inputs))
        if tokens:
            # One row a token: generate hands rows to beams by counting them; (1, total, D) would go to wrong prompts.
            outputs["video"] = BaseModelOutputWithPooling(pooler_output=torch.cat(tokens)[:, None])
        return outputs


def _closed(reduction: Reduction, newline: Tensor) -> Reduction:
    """The reduction of one frame with a newline (D,) at its end, that of the last row."""
    height, width = reduction.grid
    last = reduction.cells.new_full((1,), height * width + height - 1)
    return dataclasses.replace(
        reduction,
        tokens=torch.cat([reduction.tokens, newline[None]]),
        frames=torch.cat([reduction.frames, torch.zeros_like(last)]),
        cells=torch.cat([reduction.cells, last]),
        weights=None,
    )

"""LLaVA-OneVision (Li et al. 2024, arXiv:2408.03326) as transformers loads it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import leading
from vidfold.models.base import Family, Inputs
from vidfold.models.partial.tower import Tower, patched, state_layers
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
    """

    model_type: ClassVar[str] = "llava_onevision"
    reads: ClassVar[tuple[str, ...]] = ("get_video_features", "vision_tower", "multi_modal_projector")
    saliency: ClassVar[str] = "every patch"
    closing: ClassVar[int] = 1
    pixels: ClassVar[frozenset[str]] = frozenset(
        {"pixel_values", "image_sizes", "batch_num_images", "pixel_values_videos", "image_sizes_videos"}
    )

    @property
    def pooling(self) -> Pooling:
        """How the model shrinks its encoder grid."""
        return Pooling.BILINEAR

    @property
    def newline(self) -> Tensor | None:
        """The vector (D,) that ends every row of the pooled grid, or None."""
        return None

    @property
    def _vision(self) -> Any:
        """The tower's transformer."""
        return getattr(self.base.vision_tower, "vision_model", self.base.vision_tower)

    def _states(self, inputs: Inputs) -> int | Sequence[int]:
        """Numbers of the hidden states that are the features."""
        chosen = inputs.get("vision_feature_layer")
        states: int | Sequence[int] = self.model.config.vision_feature_layer if chosen is None else chosen
        return states

    def attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of the layers that lead to the features."""
        return leading([layer.self_attn for layer in self._vision.encoder.layers], self._states(inputs))

    def tower(self, inputs: Inputs) -> Tower:
        """A unit is a patch; features are read behind the projector, or at their layers where CLS is taken off."""
        layers, embeddings = list(self._vision.encoder.layers), self._vision.embeddings
        prefix = embeddings.num_positions - embeddings.num_patches
        ends = state_layers(layers, self._states(inputs)) if prefix else [self.base.multi_modal_projector]
        return Tower(self.base.vision_tower, layers, [layer.self_attn for layer in layers], ends, prefix=prefix)

    def units(self, inputs: Inputs) -> list[Tensor]:
        """Patches of every video."""
        pixels, side = self._pixels(inputs), self.model.config.vision_config.patch_size
        return list(patched(pixels, side, side) * self.contrast)

    def _pixels(self, inputs: Inputs) -> Tensor:
        """Pixels of the videos, (videos, frames, channels, height, width)."""
        pixels = inputs["pixel_values_videos"]
        if not isinstance(pixels, Tensor) or pixels.ndim != 5 or 0 in pixels.shape:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(f"pixel_values_videos must be (videos, frames, channels, height, width), got {shape}")
        return pixels

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        videos, frames = self._pixels(inputs).shape[:2]
        seen = self._maps(self.base.get_video_features, inputs, needs)
        per_video = {name: value.view(videos, frames, *value.shape[1:]) for name, value in seen.items()}
        grid = encoder_grid(self.model.config)
        newline = None if self.newline is None else self.newline.to(seen["features"])
        layout: dict[str, Any] = {"grid": grid, "pooling": self.pooling, "newline": newline, "check": False}
        return [VideoTokens(**layout | {name: value[i] for name, value in per_video.items()}) for i in range(videos)]

    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        seen = self._maps(self.base.get_image_features, inputs, needs)
        # Whatever the tower gives of the pictures is laid out as the model lays out its features.
        packed = {name: torch.cat(self._laid_out(inputs, values)) for name, values in seen.items()}
        views = self._views(inputs)
        sizes = [height * width for (height, width), _ in views]
        split: dict[str, Any] = {name: torch.split(values, sizes) for name, values in packed.items()}
        return [
            VideoTokens(check=False, grid=grid, **{name: parts[i][None] for name, parts in split.items()})
            for i, (grid, _) in enumerate(views)
        ]

    def _maps(self, encode: Any, inputs: Inputs, needs: frozenset[str]) -> dict[str, Tensor]:
        """What the tower gives while ``encode`` runs: ``features`` (pictures, H*W, D), and the needs likewise."""
        caught: list[Tensor] = []
        thread = threading.get_ident()

        # The projector's output is caught on the model's own way to its packed or pooled features.
        def catch(_: nn.Module, __: Any, output: Tensor) -> None:
            if threading.get_ident() == thread:
                caught.append(output)

        hook = self.base.multi_modal_projector.register_forward_hook(catch)
        try:
            _, seen = self._seen(encode, inputs, needs)
        finally:
            hook.remove()
        (features,) = caught
        return {name: each.view(*features.shape[:2], *each.shape[1:]) for name, each in seen.items()} | {
            "features": features
        }

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

    def _laid_out(self, inputs: Inputs, values: Tensor, newline: Tensor | None = None) -> list[Tensor]:
        """Values (pictures, H*W) or (pictures, H*W, E) as the model lays out its features: of each image (tokens, E).

        Values are of all pictures that the tower sees. ``newline`` (E,) is put where the model puts its newlines; None
        leaves them out.
        """
        aspect = inputs.get("vision_aspect_ratio") or self.model.config.vision_aspect_ratio
        channels = values if values.ndim == 3 else values[..., None]
        images = torch.split(channels, self._crops(inputs))
        packed, _ = self.base.pack_image_features(images, inputs["image_sizes"], newline, aspect)
        return [image if values.ndim == 3 else image[..., 0] for image in packed]

    def _views(self, inputs: Inputs) -> list[tuple[Grid, int]]:
        """Grids in which the model reads the images, in order, and how many newlines it puts into each."""
        crops, (height, width) = self._crops(inputs), encoder_grid(self.model.config)
        nothing = torch.zeros(sum(crops), height * width, 1)
        views: list[tuple[Grid, int]] = []
        for count, bare, full in zip(
            crops, self._laid_out(inputs, nothing), self._laid_out(inputs, nothing, torch.zeros(1)), strict=True
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
        arranged = []
        for reduction, ((height, _), newlines) in zip(images, views, strict=True):
            newline = self.base.image_newline.to(reduction.tokens)
            if newlines > 1:
                reduction = with_newlines(reduction, newline)
            elif newlines == 1 and not reduction.newlines:
                reduction = with_newlines(reduction, newline, reduction.cells.new_tensor([height - 1]))
            arranged.append(reduction)
        return arranged

    def slots(self, reduction: Reduction) -> Tensor:
        """The first placeholders: positions are counted one by one, so all placeholders of a video are alike."""
        return torch.arange(len(reduction) + self.closing)

    def image_slots(self, inputs: Inputs, images: Sequence[Reduction]) -> list[tuple[int, Tensor]]:
        """Placeholders with the model's newlines, of which the tokens take the first."""
        return [
            (reduction.full + newlines, torch.arange(len(reduction)))
            for reduction, (_, newlines) in zip(images, self._views(inputs), strict=True)
        ]

    def _packed(self, reductions: Sequence[Reduction], *, video: bool) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        if not video:
            return BaseModelOutputWithPooling(pooler_output=[each.tokens for each in reductions])
        closing = self.base.image_newline.expand(self.closing, -1)
        tokens = [part for each in reductions for part in (each.tokens, closing.to(each.tokens))]
        # One row a token: generate hands rows to beams by counting them; (1, total, D) would go to wrong prompts.
        return BaseModelOutputWithPooling(pooler_output=torch.cat(tokens)[:, None])


def encoder_grid(config: Any) -> Grid:
    """Patches of a picture."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    return side, side

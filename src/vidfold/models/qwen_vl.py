"""What the video models of the Qwen line share: a tower of any resolution, merged patches, and M-RoPE."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.base import Family, Inputs
from vidfold.models.partial.tower import Tower
from vidfold.models.prompts import mrope
from vidfold.models.prompts import shorten as prompt
from vidfold.tokens import Pooling, Reduction, VideoTokens

Shape = tuple[int, int, int]
"""Temporal patches, and rows and columns of merged cells, of one video."""


@dataclass(frozen=True, eq=False)
class QwenVL(Family):
    """A tower over patches of two frames each, whose outputs are merged two by two, and text with M-RoPE.

    A frame of `VideoTokens` is a temporal patch, its grid that of the merged cells; every video has its own. Attention
    received and keys of a cell are the mean over the patches merged into it. An image is a video of one frame.

    Observed layers that are not chosen are the nearest whose patches attend to their whole frame; layers that attend in
    windows cannot be chosen.
    """

    reads: ClassVar[tuple[str, ...]] = ("get_video_features", "compute_3d_position_ids", "visual")
    contrast: ClassVar[float] = 0.269
    saliency: ClassVar[str] = "mean of patches"
    pixels: ClassVar[frozenset[str]] = frozenset(
        {"pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw", "second_per_grid_ts"}
    )

    def attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of all layers of the tower."""
        return [block.attn for block in self.base.visual.blocks]

    def tower(self, inputs: Inputs) -> Tower:
        """A unit is the patches that are merged into one cell; features are read behind the mergers."""
        visual = self.base.visual
        blocks = list(visual.blocks)
        ends = [visual.merger, *getattr(visual, "deepstack_merger_list", ())]
        return Tower(visual, blocks, [block.attn for block in blocks], ends, unit=self._merge**2)

    def units(self, inputs: Inputs) -> list[Tensor]:
        """Cells of every video."""
        shapes = self._shapes(inputs, "pixel_values_videos", "video_grid_thw")
        cells = inputs["pixel_values_videos"].view(sum(map(math.prod, shapes)), -1) * self.contrast
        parts = torch.split(cells, [math.prod(shape) for shape in shapes])
        return [part.view(shape[0], shape[1] * shape[2], -1) for part, shape in zip(parts, shapes, strict=True)]

    def _full_layers(self) -> list[int]:
        """Layers of the tower whose patches attend to their whole frame."""
        return list(range(len(self.attentions({}))))

    def observed_layers(self, inputs: Inputs | None = None) -> dict[str, int]:
        """Positions 0... in the tower of the layers that ``shallow`` and ``deep`` come from."""
        full = self._full_layers()
        layers = super().observed_layers(inputs)
        for name, layer in layers.items():
            if getattr(self, f"{name}_layer") is None:
                distances = [abs(each - layer) for each in full]
                layers[name] = full[distances.index(min(distances))]
            elif layer not in full:
                raise ValueError(f"{name}_layer {layer} attends in windows; layers that attend to all are {full}")
        return layers

    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        shapes = self._shapes(inputs, "pixel_values_videos", "video_grid_thw")
        output, seen = self._seen(self.base.get_video_features, inputs, needs)
        return self._tokens(output, seen, shapes, self._timestamps(inputs, needs, shapes))

    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        shapes = self._shapes(inputs, "pixel_values", "image_grid_thw")
        output, seen = self._seen(self.base.get_image_features, inputs, needs)
        return self._tokens(output, seen, shapes, [None] * len(shapes))

    def _shapes(self, inputs: Inputs, pixels: str, grids: str) -> list[Shape]:
        """The shape of every video or image, checked against its pixels."""
        patches, grid, merge = inputs[pixels], inputs.get(grids), self._merge
        if not isinstance(patches, Tensor) or patches.ndim != 2:
            shape = tuple(patches.shape) if isinstance(patches, Tensor) else type(patches).__name__
            raise ValueError(f"{pixels} must be (patches, values), as the processor makes them, got {shape}")
        if not isinstance(grid, Tensor) or grid.ndim != 2 or grid.shape[1] != 3 or not len(grid):
            shape = tuple(grid.shape) if isinstance(grid, Tensor) else type(grid).__name__
            raise ValueError(f"{grids} must be (videos or images, 3), as the processor makes it, got {shape}")
        sides: list[list[int]] = grid.tolist()
        if any(min(each) < 1 or each[1] % merge or each[2] % merge for each in sides):
            raise ValueError(f"{grids} must be at least 1 and its height and width multiples of {merge}, got {sides}")
        if sum(t * h * w for t, h, w in sides) != len(patches):
            raise ValueError(
                f"{pixels} holds {len(patches)} patches, but {grids} {sides} describes "
                f"{sum(t * h * w for t, h, w in sides)}: make both in one call of the processor"
            )
        return [(t, h // merge, w // merge) for t, h, w in sides]

    @property
    def _merge(self) -> int:
        """Patches that are merged into one cell along either side."""
        return int(self.model.config.vision_config.spatial_merge_size)

    def _timestamps(self, inputs: Inputs, needs: frozenset[str], shapes: Sequence[Shape]) -> list[Tensor | None]:
        """When each frame of every video was sampled, where the inputs tell."""
        return [None] * len(shapes)

    def _tokens(
        self, output: Any, seen: dict[str, Tensor], shapes: Sequence[Shape], timestamps: Sequence[Tensor | None]
    ) -> list[VideoTokens]:
        maps = {name: self._per_cell(values, shapes) for name, values in seen.items()}
        return [
            VideoTokens(
                check=False,
                features=output.pooler_output[number].view(frames, height * width, -1),
                grid=(height, width),
                pooling=Pooling.NONE,
                timestamps=timestamps[number],
                side=self._side(output, number, frames),
                **{name: each[number] for name, each in maps.items()},
            )
            for number, (frames, height, width) in enumerate(shapes)
        ]

    def _per_cell(self, values: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
        """Values of all patches in the tower's order, (patches, ...), as a map (F, h*w, ...) of every video."""
        cells = values.view(-1, self._merge**2, *values.shape[1:]).mean(1)
        parts = torch.split(cells, [math.prod(shape) for shape in shapes])
        return [
            part.view(frames, height * width, *part.shape[1:])[:, self._order((height, width)).to(part.device)]
            for part, (frames, height, width) in zip(parts, shapes, strict=True)
        ]

    def _order(self, grid: tuple[int, int]) -> Tensor:
        """Where in the tower's order of a frame its cells 0... are, (h*w,) int64."""
        return torch.arange(grid[0] * grid[1])

    def _side(self, output: Any, number: int, frames: int) -> Tensor | None:
        """Features for later layers of one video, (levels, F, N, E), where there are any."""
        return None

    def inferred(self, inputs: Inputs) -> dict[str, Tensor]:
        """All tokens are text where a call says nothing else."""
        given = inputs.get("mm_token_type_ids") is not None
        return {} if given else {"mm_token_type_ids": torch.zeros_like(inputs["input_ids"])}

    def positions(self, inputs: Inputs, kept: Tensor) -> dict[str, Tensor]:
        """``position_ids`` of the full prompt (see `mrope.number`), unless the inputs bring their own."""
        return {} if inputs.get("position_ids") is not None else {"position_ids": mrope.number(self.base, inputs)}

    def following(self, inputs: Inputs) -> Tensor:
        """The position of text that comes next after a full prompt (B, L), (B, 1) int64.

        It is numbered as part of the prompt, since text behind a long video can have lower positions than the video's
        last frames.
        """
        longer = dict(inputs)
        for name, value in (("input_ids", None), ("attention_mask", 1), ("mm_token_type_ids", 0)):
            if (given := inputs.get(name)) is not None:
                last = given[:, -1:] if value is None else torch.full_like(given[:, -1:], value)
                longer[name] = torch.cat([given, last], 1)
        return mrope.number(self.base, longer)[1, :, -1:]

    def settle(self, shortened: dict[str, Tensor]) -> dict[str, Tensor]:
        """``position_ids`` (4, B, M) as the model takes them.

        The model keeps what a prompt's decoding needs, ``rope_deltas``, as a state of its own. It is set here as its
        forward does where it numbers a prompt itself.
        """
        positions, real = shortened["position_ids"], prompt.real(shortened)
        if positions.ndim == 3 and len(positions) == 4:
            return shortened | {"position_ids": torch.cat([mrope.counted(real)[None], positions[1:]])}
        if positions.ndim != 3 or len(positions) != 5:
            return shortened
        positions, self.base.rope_deltas = mrope.renumber(positions, real)
        return shortened | {"position_ids": positions}

    def outputs(
        self, inputs: Inputs, videos: Sequence[Reduction], images: Sequence[Reduction] | None
    ) -> dict[str, Any]:
        """One tensor a video and an image, as the model's own encoders give them."""
        if images is None and self.has_images(inputs):
            self._shapes(inputs, "pixel_values", "image_grid_thw")
        return super().outputs(inputs, videos, images)

"""AOT with the computing costs of its authors' program, for comparison only: same results, no optimisation.

To fold a video use `vidfold.AOT`; for the authors' results use `AOT.reference`. This file computes the same sums in the
same order, with the memory use and the device synchronisation of the original, so that a bench can measure their cost.
"""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidfold import models
from vidfold.checks import check_count, check_ratio
from vidfold.models import LlavaOnevision
from vidfold.models.base import Inputs
from vidfold.segments import default_clip
from vidfold.tokens import Grid, Pooling, Reduction, VideoTokens

_WINDOWS = 3
_EPSILON, _ITERATIONS, _STOP = 0.1, 100, 0.01


@dataclass(frozen=True)
class Authors:
    """The authors' implementation of AOT (CVPR 2026, arXiv 2603.01400) for LLaVA-OneVision, with its costs.

    Half of the anchors of a frame are chosen in 3x3 windows by shallow attention, the others by deep attention. The
    host waits for the device at every local anchor, in every transport iteration and at every boolean selection; frames
    are processed one by one; phase I computes cosines through (M, T, D) intermediates, for M patches and T anchors. It
    computes in float32, like `AOT.reference`; the original ran in half precision.

    Attributes:
        visual_tokens: anchors per frame on the encoder grid.
        keep: quantile of the transport below which a later frame's token is kept, in [0, 1].
        gemm: compute phase I's cosines as one matrix product per frame, to measure what that saves.

    Raises:
        ValueError: a setting out of range, or no anchor for each of the windows.
    """

    visual_tokens: int = 126
    keep: float = 0.3
    gemm: bool = False

    def __post_init__(self) -> None:
        check_count("visual_tokens", self.visual_tokens, 2 * _WINDOWS**2)
        check_ratio("keep", self.keep, zero=True)

    def __call__(self, tokens: VideoTokens) -> Reduction:
        """Fold one video.

        Raises:
            ValueError: other tokens than those of LLaVA-OneVision with attention of both layers, a grid that 3x3 equal
                windows do not fit, or more anchors than patches.
        """
        patches, windows = tokens.features.shape[1], not any(side % _WINDOWS for side in tokens.grid)
        fits = tokens.pooling is Pooling.BILINEAR and tokens.newline is None and self.visual_tokens <= patches
        if not (fits and windows) or tokens.shallow is None or tokens.deep is None:
            raise ValueError(
                f"the authors' way needs bilinear pooling without newlines, sides divisible by {_WINDOWS} with "
                f"{self.visual_tokens} patches or more, and attention of both layers, "
                f"got {tokens.pooling} of {tokens.grid}"
            )
        features = tokens.features.float()
        mask = self._anchors(tokens.shallow.float(), tokens.deep.float(), tokens.grid)
        if self.visual_tokens < patches:
            features = _merge_frames(features, mask, tokens.grid, self.gemm)
        pooled, survives = tokens.pool(features), tokens.pool(mask.float()) >= 0.5
        values, frames, cells = [], [], []
        length = default_clip(tokens.frames)
        for start in range(0, tokens.frames, length):
            for frame, cell, value in self._clip(pooled, survives, start, min(start + length, tokens.frames)):
                values.append(value)
                cells.append(cell)
                frames.append(torch.full_like(cell, frame))
        return Reduction(
            tokens=torch.cat(values).to(tokens.features.dtype),
            frames=torch.cat(frames),
            cells=torch.cat(cells),
            grid=tokens.language_grid,
            full=tokens.frames * tokens.cells,
        )

    def _anchors(self, shallow: Tensor, deep: Tensor, grid: Grid) -> Tensor:
        """The anchors (F, H*W) bool, frame by frame and window by window."""
        mask = torch.zeros_like(shallow, dtype=torch.bool)
        if self.visual_tokens == shallow.shape[1]:
            return ~mask
        height, width, local = grid[0] // _WINDOWS, grid[1] // _WINDOWS, self.visual_tokens // 2
        for frame in range(len(shallow)):
            image = shallow[frame].view(grid)
            for top in range(0, grid[0], height):
                for left in range(0, grid[1], width):
                    window = image[top : top + height, left : left + width].flatten()
                    for place in window.topk(local // _WINDOWS**2).indices:
                        row, column = divmod(int(place.item()), width)
                        mask[frame, (top + row) * grid[1] + left + column] = True
            rest = deep[frame].masked_fill(mask[frame], 0)
            mask[frame, rest.topk(self.visual_tokens - local).indices] = True
        return mask

    def _clip(self, pooled: Tensor, survives: Tensor, start: int, end: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Phase II of one clip: frame, cells and values of its output tokens."""
        key = survives[start].nonzero()[:, 0]
        merged = pooled[start][key]
        yield start, key, merged
        for frame in range(start + 1, end):
            own = survives[frame].nonzero()[:, 0]
            values = pooled[frame][own]
            kept, merged = self._merge_frame(merged, values, frame - start)
            yield frame, own[kept], values[kept]
        if end - start > 1:
            yield start, key, merged

    def _merge_frame(self, anchors: Tensor, values: Tensor, gap: int) -> tuple[Tensor, Tensor]:
        similarity = functional.normalize(values, dim=-1) @ functional.normalize(anchors, dim=-1).T
        cost = 1 - similarity.clamp(-1 + 1e-6, 1 - 1e-6)
        cost = (cost - cost.min()) * (1 - math.exp(-(gap**2) / (2 * 1.5**2 + 1e-9)))
        plan = _sinkhorn((-cost / _EPSILON).exp()[None])[0]
        share = plan / plan.sum(1, keepdim=True).clamp_min(1e-9)
        strongest = share.amax(1).double()
        kept = strongest < torch.quantile(strongest, self.keep)
        sent = share[~kept]
        absorbed = anchors + sent.T @ values[~kept]
        return kept, absorbed / (1 + sent.sum(0)[:, None])


def _merge_frames(features: Tensor, mask: Tensor, grid: Grid, gemm: bool) -> Tensor:
    """Phase I: (F, H*W, D) with merged anchors; one transport call for all frames, with one stop for all."""
    rows = torch.arange(grid[0], device=features.device) / (grid[0] - 1)
    columns = torch.arange(grid[1], device=features.device) / (grid[1] - 1)
    places = torch.cartesian_prod(rows, columns)
    similarities, costs = [], []
    for values, chosen in zip(features, mask, strict=True):
        others, anchors = values[~chosen], values[chosen]
        if gemm:
            similarity = functional.normalize(others, dim=-1) @ functional.normalize(anchors, dim=-1).T
        else:
            similarity = functional.cosine_similarity(others[:, None], anchors[None], dim=-1)
        similarities.append(similarity)
        costs.append((1 - similarity) + 0.5 * torch.cdist(places[~chosen], places[chosen]))
    plans = _sinkhorn((-torch.stack(costs) / _EPSILON).exp())

    merged = features.clone()
    for frame, (values, chosen) in enumerate(zip(features, mask, strict=True)):
        anchors, others, plan = values[chosen], values[~chosen], plans[frame]
        load = plan.sum(0).clamp_min(1e-9)[:, None]
        moved = (anchors + plan.T @ others) / (1 + load)
        nearest = similarities[frame].argmax(1)
        counts = torch.bincount(nearest, minlength=len(anchors))[:, None]
        means = anchors.index_add(0, nearest, others) / (1 + counts)
        merged[frame][chosen] = 0.9 * moved + 0.1 * means
    return merged


def _sinkhorn(kernel: Tensor) -> Tensor:
    """Plan (B, M, N) between uniform masses; one stop rule for the batch, which syncs in every iteration."""
    batch, rows, columns = kernel.shape
    r, c = kernel.new_ones(batch, rows, 1), kernel.new_ones(batch, columns, 1)
    for _ in range(_ITERATIONS):
        before = r
        r = 1 / rows / (kernel @ c)
        c = 1 / columns / (kernel.transpose(1, 2) @ r)
        if (r - before).abs().mean().item() < _STOP:
            break
    return r * kernel * c.transpose(1, 2)


def encode(model: Any, inputs: Inputs) -> list[VideoTokens]:
    """Same as `vidfold.models.encode` with ``shallow`` and ``deep``, at the cost of the authors' program.

    All layers of the tower use eager attention, every matrix is kept, and all are stacked before the column sums of
    two layers are taken: (layers, B*F, heads, H*W, H*W) in the tower's dtype, twice. Afterwards the tower uses its
    previous attention implementation again.

    Raises:
        ValueError: a model of another family, or inputs without video.
    """
    family = models.family(model)
    if not isinstance(family, LlavaOnevision):
        raise ValueError(f"model must be a {LlavaOnevision.model_type} to keep all attention, got {family.model_type}")
    with _kept_attention(model.base_model.vision_tower) as matrices:
        videos = family.encode(inputs)
    stacked = torch.stack(matrices)
    seen: dict[str, list[Tensor]] = {}
    for name, layer in family.observed_layers(inputs).items():
        received = stacked[layer].float().mean(1).sum(1)
        seen[name] = list(received.view(len(videos), -1, received.shape[1]))
    return [
        dataclasses.replace(video, shallow=shallow, deep=deep)
        for video, shallow, deep in zip(videos, seen["shallow"], seen["deep"], strict=True)
    ]


@contextmanager
def _kept_attention(tower: Any) -> Iterator[list[Tensor]]:
    """Attention matrices (F, heads, N, N) of all layers that run inside the context, in order."""
    matrices: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: tuple[Tensor, Tensor]) -> None:
        matrices.append(output[1])

    previous = tower.config._attn_implementation
    hooks = [module.register_forward_hook(keep) for name, module in tower.named_modules() if name.endswith("self_attn")]
    try:
        tower.set_attn_implementation("eager")
        yield matrices
    finally:
        tower.set_attn_implementation(previous)
        for hook in hooks:
            hook.remove()

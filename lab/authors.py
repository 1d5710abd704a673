"""AOT with the computing costs of its authors' program, for comparison only: same results, no optimisation.

To fold a video use `vidfold.AOT`; for the authors' results use `AOT.reference`. This file computes the same sums in the
same order, with the memory use and the device synchronisation of the original, so that a bench can measure their cost.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.ops.ranks import first_true, gather_rows
from vidfold.reducers import AOTReference
from vidfold.reducers.aot.reference_phases import sinkhorn_official
from vidfold.segments import Uniform
from vidfold.tokens import Pooling, Reduction, VideoTokens
from vidfold.transport import grid_distance, grid_positions

_WINDOWS = 3


@dataclass(frozen=True)
class Authors(AOTReference):
    """The authors' implementation of AOT (CVPR 2026, arXiv 2603.01400) for LLaVA-OneVision, with its costs.

    Its results are those of `AOTReference`, which already goes through frames one by one in phase II and waits for the
    device at every decision. Here phase I costs what it costs them as well: the host waits for the device at every
    local anchor, cosines go through (M, T, D) intermediates, for M patches and T anchors, and tokens are merged before
    they are pooled. It computes in float32; the original ran in half precision.

    Attributes:
        gemm: compute phase I's cosines as one matrix product per frame, to measure what that saves.
    """

    gemm: bool = False

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold one video.

        Raises:
            ValueError: a grid that 3x3 equal windows do not fit, or other pooling than that of LLaVA-OneVision.
        """
        windows = not any(side % _WINDOWS for side in tokens.grid)
        if weights or not windows or tokens.pooling is not Pooling.BILINEAR or tokens.newline is not None:
            raise ValueError(
                "the authors' way needs bilinear pooling without newlines or weights and sides divisible by "
                f"{_WINDOWS}, got {tokens.pooling} of {tokens.grid}"
            )
        features, shallow, deep = (getattr(tokens, name).float() for name in ("features", "shallow", "deep"))
        mask = self.index_mask(shallow, deep, tokens.grid)
        if not mask.all():
            features = _merge_frames(features, mask, tokens.grid, self.gemm)
        survives = tokens.pool(mask.float()) >= 0.5
        counts = survives.sum(1).tolist()
        cells = first_true(survives, max(counts))
        rows = self._fold_clips(
            Uniform(self.clip)(tokens), gather_rows(tokens.pool(features), cells), cells, counts, tokens
        )
        return Reduction.of(tokens, *rows)

    def index_mask(self, shallow: Tensor, deep: Tensor, grid: tuple[int, int]) -> Tensor:
        """The anchors (F, H*W) bool, frame by frame and window by window."""
        if self.anchors >= shallow.shape[1]:
            return super().index_mask(shallow, deep, grid)
        mask = torch.zeros_like(shallow, dtype=torch.bool)
        height, width, local = grid[0] // _WINDOWS, grid[1] // _WINDOWS, self.anchors // 2
        for frame in range(len(shallow)):
            image = shallow[frame].view(grid)
            for top in range(0, grid[0], height):
                for left in range(0, grid[1], width):
                    window = image[top : top + height, left : left + width].flatten()
                    for place in window.topk(local // _WINDOWS**2).indices:
                        row, column = divmod(int(place.item()), width)
                        mask[frame, (top + row) * grid[1] + left + column] = True
            rest = deep[frame].masked_fill(mask[frame], 0)
            mask[frame, rest.topk(self.anchors - local).indices] = True
        return mask


def _merge_frames(features: Tensor, mask: Tensor, grid: tuple[int, int], gemm: bool) -> Tensor:
    """Phase I: (F, H*W, D) with merged anchors; one transport call for all frames, with one stop for all."""
    places = grid_positions(torch.arange(mask.shape[1], device=mask.device), grid)
    similarities, costs = [], []
    for values, chosen in zip(features, mask, strict=True):
        others, anchors = values[~chosen], values[chosen]
        if gemm:
            similarity = functional.normalize(others, dim=-1) @ functional.normalize(anchors, dim=-1).T
        else:
            similarity = functional.cosine_similarity(others[:, None], anchors[None], dim=-1)
        similarities.append(similarity)
        costs.append((1 - similarity) + 0.5 * grid_distance(places[~chosen], places[chosen]))
    plans, _ = sinkhorn_official((-torch.stack(costs) / 0.1).exp())

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

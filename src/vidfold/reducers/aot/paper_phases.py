"""The mathematics of the two phases of `AOTPaper`, each over all frames or all clips at once."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.checks import check_count, check_positive, check_ratio, check_weight, setting
from vidfold.clips import Clips
from vidfold.ops.ranks import descending_rank, gather_rows, inverse, order_within
from vidfold.reducers.aot.absorb import absorb, absorbing, nearest_shares, row_shares, uniform_mass
from vidfold.reducers.aot.clipwise import ClipwiseReducer
from vidfold.reducers.aot.paper_budget import ClipBudget
from vidfold.tokens import Grid
from vidfold.transport import cosine, grid_distance, grid_positions, sinkhorn

_SPAN = 2.0
"""Cosine costs lie in [0, 2]."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The anchors of every frame after phase I, padded to n rows, in raster order.

    Attributes:
        values: (F, n, D + marks) float32, merged.
        width: D; the first D columns decide, the others only follow.
        valid: (F, n) bool, the rows that are anchors.
        cells: (F, n) int64, cell of the language grid.
        mass: (F, n) float32, what each weighs.
        saliency: (F, n) float32 deep attention.
    """

    values: Tensor
    width: int
    valid: Tensor
    cells: Tensor
    mass: Tensor
    saliency: Tensor


@dataclass(frozen=True, kw_only=True)
class PaperPhases(ClipwiseReducer):
    """The two phases with their settings, which `AOTPaper` describes."""

    epsilon: float = setting(0.1, check_positive)
    iterations: int = setting(100, check_count)
    intra_scale: float | Literal["unit"] = "unit"
    inter_scale: float = setting(1.0, check_weight)
    distance: float = setting(0.0, check_weight)
    nearest: float = setting(0.0, check_ratio, zero=True)
    time_scale: float = setting(0.0, check_weight)
    carry_mass: bool = False
    saliency_mass: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.intra_scale != "unit":
            check_weight("intra_scale", self.intra_scale)

    def mix_frames(
        self, features: Tensor, mask: Tensor, anchors: Tensor, valid: Tensor, grid: Grid, saliency: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Phase I: the anchors of each frame absorb its other tokens (paper, section 3.2, eq. 7).

        Args:
            features: (F, S, D) float32.
            mask: (F, S) bool, the tokens that are anchors.
            anchors: (F, n) int64, their indices, padded.
            valid: (F, n) bool, which of these are not padding.
            grid: of the S tokens.
            saliency: (F, S) float32, deep attention.

        Returns:
            What each merged anchor is made of, (F, n, S), and its mass (F, n).
        """
        cost, span = cosine(features, gather_rows(features, anchors)), _SPAN
        if self.distance:
            everywhere = torch.arange(cost.shape[1], device=cost.device)
            cost = cost + self.distance * grid_distance(grid_positions(everywhere, grid), grid_positions(anchors, grid))
            span += self.distance * math.sqrt(2)
        has_both = (~mask).any(1, keepdim=True) & mask.any(1, keepdim=True)
        senders = uniform_mass(~mask & has_both, saliency if self.saliency_mass else None)
        receivers = uniform_mass(valid & has_both, saliency.gather(1, anchors) if self.saliency_mass else None)
        sent = self._shares(cost, senders, receivers, span)
        unit = 1 / (~mask).sum(1).clamp_min(1).float()[:, None, None]
        mix, mass = absorbing((unit if self.intra_scale == "unit" else self.intra_scale) * sent, anchors)
        if self.nearest:
            closest = nearest_shares(cost, valid) * (~mask & has_both)[:, :, None]
            mix = torch.lerp(mix, absorbing(closest, anchors)[0], self.nearest)
        return mix, mass

    def absorb_clips(self, found: Candidates, clips: Clips, budget: ClipBudget) -> tuple[Tensor, Tensor]:
        """Phase II: the key frames' anchors absorb what later frames repeat, one step of all clips after the other.

        Returns:
            The merged anchors (C, n, D + marks) of each clip, and the rows (F, n) bool kept of the later frames.
        """
        frames, rows = found.valid.shape
        # Longest first: at step `gap` at most F / (gap + 1) clips are that long, so the others need not take part.
        order = clips.lengths.argsort(descending=True, stable=True)
        starts, lengths = clips.starts[order], clips.lengths[order]
        keys = starts.clamp_max(frames - 1)
        merged, mass, valid = found.values[keys], found.mass[keys], found.valid[keys]
        # One row more than there are frames takes what a clip that has ended would write.
        kept = torch.zeros(frames + 1, rows, dtype=torch.bool, device=keys.device)
        for gap in range(1, clips.longest):
            active = min(len(starts), frames // (gap + 1))
            on = (lengths[:active] > gap)[:, None]
            later = (starts[:active] + gap).clamp_max(frames - 1)
            tokens, present = found.values[later], found.valid[later] & on
            anchors, receiving = merged[:active], valid[:active] & on

            cost = cosine(tokens[:, :, : found.width], anchors[:, :, : found.width])
            if self.time_scale:
                absent = ~(present[:, :, None] & receiving[:, None, :])
                least = cost.masked_fill(absent, torch.inf).amin((1, 2), keepdim=True)
                near = math.exp(-(gap**2) / (2 * self.time_scale**2))
                cost = (cost - least.masked_fill(least.isinf(), 0)) * (1 - near)
            senders = uniform_mass(present, self._weight(found, later))
            receivers = uniform_mass(receiving, self._weight(found, keys[:active]))
            sent = self._shares(cost, senders, receivers, _SPAN)

            quota = budget.kept_at(gap, clips.lengths)[order[:active]]
            strongest = sent.amax(2).masked_fill(~present, torch.inf)
            stays = (descending_rank(-strongest) < quota[:, None]) & present
            kept[torch.where(on[:, 0], later, frames)] = stays
            sent = sent * (present & ~stays)[:, :, None] * (self.inter_scale * found.mass[later])[:, :, None]
            merged[:active], grown = absorb(anchors, tokens, sent, mass[:active])
            if self.carry_mass:
                mass[:active] = grown
        return merged[inverse(order)], kept[:frames]

    def _shares(self, cost: Tensor, senders: Tensor, receivers: Tensor, span: float) -> Tensor:
        """Share of each sender's mass that each receiver gets, of costs that differ by at most ``span``."""
        plan = sinkhorn(cost, senders, receivers, span=span, epsilon=self.epsilon, iterations=self.iterations).plan
        return row_shares(plan)

    def _weight(self, found: Candidates, frames: Tensor) -> Tensor | None:
        """What marginals of these frames (c,) are in proportion to, (c, n); None for uniform ones."""
        weight = found.mass[frames] if self.carry_mass else None
        if not self.saliency_mass:
            return weight
        return found.saliency[frames] if weight is None else weight * found.saliency[frames]


def strongest_cells(share: Tensor, saliency: Tensor, count: Tensor) -> Tensor:
    """The ``count`` (F,) cells of largest anchor share (F, N), of equal ones the most salient: (F, N) bool."""
    return inverse(order_within(-share, saliency)) < count[:, None]

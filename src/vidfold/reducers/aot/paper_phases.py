"""The two phases of `AOTPaper`, each over all frames or all clips at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidfold.clips import Clips as Cut
from vidfold.ops import lineage
from vidfold.ops.aggregation import absorb, nearest_shares, row_shares, uniform_mass
from vidfold.ops.mixing import absorbing, pooling_matrix, surviving
from vidfold.ops.ranks import descending_rank, gather_rows, local_and_global
from vidfold.reducers.aot.paper_budget import ClipBudget
from vidfold.tokens import VideoTokens
from vidfold.transport import cosine, grid_distance, grid_positions, sinkhorn

if TYPE_CHECKING:
    from vidfold.reducers.aot.paper import AOTPaper

CPU_BLOCK = 1 << 23
"""Numbers of pooled features that phase I works on at a time on a CPU: 32 MiB in float32. A long video all at once
takes a third longer: fresh memory and missed caches cost more than the few more calls."""
DEVICE_BLOCK = 1 << 28
"""The same elsewhere: 1 GiB, so that a video of usual length is one block."""


@dataclass(frozen=True, eq=False)
class Clips:
    """How a video of F frames falls into C clips.

    Attributes:
        cut: the clips.
        budget: what each may keep.
        clip_of: (F,) int64, the clip of each frame.
        position: (F,) int64, its place in the clip.
    """

    cut: Cut
    budget: ClipBudget
    clip_of: Tensor
    position: Tensor

    @classmethod
    def of(cls, cut: Cut, budget: ClipBudget) -> Clips:
        """The clips of a video."""
        return cls(cut, budget, cut.clip_of, cut.position)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The anchors of every frame after phase I, padded to n rows, in raster order.

    Attributes:
        values: (F, n, D + marks) float32, merged.
        width: D; the first D columns decide, the rest rides along.
        valid: (F, n) bool, the rows that are anchors.
        cells: (F, n) int64, cell of the language grid.
        mass: (F, n) float32, what each weighs.
        saliency: (F, n) float32 deep attention, or None for uniform marginals.
    """

    values: Tensor
    width: int
    valid: Tensor
    cells: Tensor
    mass: Tensor
    saliency: Tensor | None


def phase_one(method: AOTPaper, tokens: VideoTokens, clips: Clips, *, weights: bool) -> Candidates:
    """Choose each frame's anchors and let them absorb the rest of the frame."""
    per_frame = clips.budget.anchors[clips.clip_of]
    cpu = tokens.features.device.type == "cpu"
    block = max(1, (CPU_BLOCK if cpu else DEVICE_BLOCK) // (tokens.cells * tokens.features.shape[2]))
    found = [
        _merge_frames(method, tokens, slice(first, first + block), per_frame[first : first + block], clips.budget.most)
        for first in range(0, tokens.frames, block)
    ]
    mix, merged, valid, cells, mass, saliency = (torch.cat(parts) for parts in zip(*found, strict=True))
    if weights:
        merged = torch.cat([merged, lineage.spread(mix, clips.position, clips.cut.longest)], dim=2)
    width = tokens.features.shape[2]
    return Candidates(merged, width, valid, cells, mass, saliency if method.saliency_mass else None)


def _merge_frames(
    method: AOTPaper, tokens: VideoTokens, frames: slice, per_frame: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Anchors of some frames: what they are made of, merged; and as in `Candidates` valid, cells, mass, saliency."""
    assert tokens.shallow is not None
    assert tokens.deep is not None
    features, grid, chosen, bound = tokens.features[frames], tokens.grid, per_frame, most
    shallow, deep = tokens.shallow[frames].float(), tokens.deep[frames].float()
    pooled_deep = tokens.pool(deep)
    before_pooling = method.merge == "encoder"
    if before_pooling:
        patches = features.shape[1]
        chosen = torch.where(per_frame > 0, (per_frame * patches) // tokens.cells, 0)
        bound = min(patches, most * patches // tokens.cells)
    else:
        features, shallow, deep, grid = tokens.pool(features), tokens.pool(shallow), pooled_deep, tokens.language_grid

    features = features.float()
    local = ((1 - method.global_ratio) * chosen).floor().long()
    mask = local_and_global(shallow, deep, grid, local, chosen, method.windows)
    anchors, valid = _first_rows(mask, bound)
    mix, mass = _mix_frame(method, features, mask, anchors, valid, deep, grid)

    if before_pooling:
        full_mass = torch.ones_like(deep).scatter(1, anchors, torch.where(valid, mass, 1.0))
        survivors = _strongest_cells(tokens.pool(mask.float()), pooled_deep, per_frame)
        cells, valid = _first_rows(survivors, most)
        mix = surviving(pooling_matrix(tokens), cells, anchors, mix)
        anchors, mass = cells, tokens.pool(full_mass).gather(1, cells)
    return mix, mix @ features, valid, anchors, mass, pooled_deep.gather(1, anchors)


def _mix_frame(
    method: AOTPaper,
    features: Tensor,
    mask: Tensor,
    anchors: Tensor,
    valid: Tensor,
    deep: Tensor,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """What each merged anchor is made of (F, n, S), and its mass (F, n)."""
    cost = cosine(features, gather_rows(features, anchors))
    span = 2.0
    if method.distance:
        positions = grid_positions(grid, cost.device)
        cost = cost + method.distance * grid_distance(positions, positions[anchors])
        span += method.distance * math.sqrt(2)
    has_both = (~mask).any(1, keepdim=True) & mask.any(1, keepdim=True)
    weight = deep if method.saliency_mass else None
    senders = uniform_mass(~mask & has_both, weight)
    receivers = uniform_mass(valid & has_both, None if weight is None else weight.gather(1, anchors))
    plan = _transport(method, cost, senders, receivers, span)

    scale = 1 / (~mask).sum(1).clamp_min(1)[:, None, None] if method.intra_scale == "unit" else method.intra_scale
    mix, mass = absorbing(scale * row_shares(plan), anchors)
    if method.nearest:
        nearest = nearest_shares(cost, valid) * ((~mask) & has_both)[:, :, None]
        mix = torch.lerp(mix, absorbing(nearest, anchors)[0], method.nearest)
    return mix, mass if method.carry_mass else torch.ones_like(mass)


def phase_two(method: AOTPaper, found: Candidates, clips: Clips) -> tuple[Tensor, Tensor]:
    """Let the key frames' anchors absorb what later frames repeat, one step of all clips after the other.

    Returns:
        The merged anchors (C, n, D + marks) of each clip, and the rows (F, n) bool kept of the later frames.
    """
    starts, lengths, width = clips.cut.starts, clips.cut.lengths, found.width
    frames, rows = found.valid.shape
    # Longest first: at step `gap` no more than F / (gap + 1) clips can be that long, so the rest need not take part.
    order = lengths.argsort(descending=True, stable=True)
    starts, lengths = starts[order], lengths[order]
    keys = starts.clamp_max(frames - 1)
    merged, mass, valid = found.values[keys], found.mass[keys], found.valid[keys]
    # One row more than there are frames takes what a clip that has ended would write.
    kept = torch.zeros(frames + 1, rows, dtype=torch.bool, device=keys.device)
    for gap in range(1, clips.cut.longest):
        active = min(len(starts), frames // (gap + 1))
        on = (lengths[:active] > gap)[:, None]
        later = (starts[:active] + gap).clamp_max(frames - 1)
        tokens, present = found.values[later], found.valid[later] & on
        anchors, receiving = merged[:active], valid[:active] & on

        cost = cosine(tokens[:, :, :width], anchors[:, :, :width])
        if method.time_scale:
            least = cost.masked_fill(~(present[:, :, None] & receiving[:, None, :]), torch.inf).amin(
                (1, 2), keepdim=True
            )
            factor = 1 - math.exp(-(gap**2) / (2 * method.time_scale**2))
            cost = (cost - torch.where(least.isinf(), 0.0, least)) * factor
        senders, receivers = _inter_mass(method, found, present, receiving, later, keys[:active])
        sent = row_shares(_transport(method, cost, senders, receivers, 2.0))

        quota = clips.budget.kept_at(gap, clips.cut.lengths)[order[:active]]
        strongest = sent.amax(2).masked_fill(~present, torch.inf)
        stays = (descending_rank(-strongest) < quota[:, None]) & present
        kept[torch.where(on[:, 0], later, frames)] = stays
        sent = sent * (present & ~stays)[:, :, None] * (method.inter_scale * found.mass[later])[:, :, None]
        merged[:active], grown = absorb(anchors, tokens, sent, mass[:active])
        if method.carry_mass:
            mass[:active] = grown
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return merged[back], kept[:frames]


def _transport(method: AOTPaper, cost: Tensor, senders: Tensor, receivers: Tensor, span: float) -> Tensor:
    return sinkhorn(cost, senders, receivers, epsilon=method.epsilon, span=span, iterations=method.iterations).plan


def _inter_mass(
    method: AOTPaper, found: Candidates, present: Tensor, receiving: Tensor, later: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor]:
    """Marginals of one phase-II step: uniform, or in proportion to what tokens weigh and how salient they are."""
    sides = []
    for members, frame in ((present, later), (receiving, keys)):
        weight = found.mass[frame] if method.carry_mass else None
        if found.saliency is not None:
            weight = found.saliency[frame] if weight is None else weight * found.saliency[frame]
        sides.append(uniform_mass(members, weight))
    return sides[0], sides[1]


def _first_rows(mask: Tensor, bound: int) -> tuple[Tensor, Tensor]:
    """Indices (F, bound) of the True entries of each row in order, padded with others, and which are not padding."""
    order = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :bound]
    return order, mask.gather(1, order)


def _strongest_cells(share: Tensor, saliency: Tensor, count: Tensor) -> Tensor:
    """The ``count`` (F,) cells of largest anchor share (F, N), of equals the most salient: (F, N) bool."""
    by_saliency = saliency.argsort(dim=1, descending=True, stable=True)
    by_share = share.gather(1, by_saliency).argsort(dim=1, descending=True, stable=True)
    order = by_saliency.gather(1, by_share)
    ranks = torch.arange(share.shape[1], device=share.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, ranks) < count[:, None]

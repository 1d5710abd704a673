"""The mathematics of the two phases of `AOTPaper`, each over all frames or all clips at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.ops.ranks import descending_rank, gather_rows, inverse, order_within
from vidfold.reducers.aot.absorb import absorb, absorbing, nearest_shares, row_shares, uniform_mass
from vidfold.reducers.aot.paper_budget import ClipBudget
from vidfold.tokens import Grid
from vidfold.transport import Transport, cosine, grid_distance, grid_positions

Solver = Callable[..., Transport]
"""`vidfold.transport.sinkhorn` with its settings: (cost, row mass, column mass, span=...) -> `Transport`."""

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
        saliency: (F, n) float32 deep attention, or None for uniform marginals.
    """

    values: Tensor
    width: int
    valid: Tensor
    cells: Tensor
    mass: Tensor
    saliency: Tensor | None


def mix_frames(
    features: Tensor,
    mask: Tensor,
    anchors: Tensor,
    valid: Tensor,
    grid: Grid,
    solve: Solver,
    *,
    scale: float | None,
    distance: float,
    nearest: float,
    saliency: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Phase I: the anchors of each frame absorb its other tokens (paper, section 3.2, eq. 7).

    Args:
        features: (F, S, D) float32.
        mask: (F, S) bool, the tokens that are anchors.
        anchors: (F, n) int64, their indices, padded.
        valid: (F, n) bool, which of these are not padding.
        grid: of the S tokens.
        solve: the transport.
        scale: mass that each other token brings; None: all of a frame together bring 1.
        distance: weight of the grid distance in the cost.
        nearest: share of plain nearest-anchor means in the result.
        saliency: (F, S) float32, marginals in proportion to it; None: uniform ones.

    Returns:
        What each merged anchor is made of, (F, n, S), and its mass (F, n).
    """
    cost, span = cosine(features, gather_rows(features, anchors)), _SPAN
    if distance:
        everywhere = torch.arange(cost.shape[1], device=cost.device)
        cost = cost + distance * grid_distance(grid_positions(everywhere, grid), grid_positions(anchors, grid))
        span += distance * math.sqrt(2)
    has_both = (~mask).any(1, keepdim=True) & mask.any(1, keepdim=True)
    senders = uniform_mass(~mask & has_both, saliency)
    receivers = uniform_mass(valid & has_both, None if saliency is None else saliency.gather(1, anchors))
    sent = row_shares(solve(cost, senders, receivers, span=span).plan)
    brings = 1 / (~mask).sum(1).clamp_min(1).float()[:, None, None] if scale is None else scale
    mix, mass = absorbing(brings * sent, anchors)
    if nearest:
        closest = nearest_shares(cost, valid) * (~mask & has_both)[:, :, None]
        mix = torch.lerp(mix, absorbing(closest, anchors)[0], nearest)
    return mix, mass


def strongest_cells(share: Tensor, saliency: Tensor, count: Tensor) -> Tensor:
    """The ``count`` (F,) cells of largest anchor share (F, N), of equal ones the most salient: (F, N) bool."""
    return inverse(order_within(-share, saliency)) < count[:, None]


def absorb_clips(
    found: Candidates,
    clips: Clips,
    budget: ClipBudget,
    solve: Solver,
    *,
    scale: float,
    time_scale: float,
    carry_mass: bool,
) -> tuple[Tensor, Tensor]:
    """Phase II: the key frames' anchors absorb what later frames repeat, one step of all clips after the other.

    Each absorbed token brings ``scale`` (lambda) times its own mass; the other numbers are those of `AOTPaper`.

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
        if time_scale:
            absent = ~(present[:, :, None] & receiving[:, None, :])
            least = cost.masked_fill(absent, torch.inf).amin((1, 2), keepdim=True)
            cost = (cost - least.masked_fill(least.isinf(), 0)) * (1 - math.exp(-(gap**2) / (2 * time_scale**2)))
        senders = uniform_mass(present, _weight(found, later, carry_mass))
        receivers = uniform_mass(receiving, _weight(found, keys[:active], carry_mass))
        sent = row_shares(solve(cost, senders, receivers, span=_SPAN).plan)

        quota = budget.kept_at(gap, clips.lengths)[order[:active]]
        strongest = sent.amax(2).masked_fill(~present, torch.inf)
        stays = (descending_rank(-strongest) < quota[:, None]) & present
        kept[torch.where(on[:, 0], later, frames)] = stays
        sent = sent * (present & ~stays)[:, :, None] * (scale * found.mass[later])[:, :, None]
        merged[:active], grown = absorb(anchors, tokens, sent, mass[:active])
        if carry_mass:
            mass[:active] = grown
    return merged[inverse(order)], kept[:frames]


def _weight(found: Candidates, frames: Tensor, carry_mass: bool) -> Tensor | None:
    """What marginals of these frames (c,) are in proportion to, (c, n); None for uniform ones."""
    weight = found.mass[frames] if carry_mass else None
    if found.saliency is None:
        return weight
    return found.saliency[frames] if weight is None else weight * found.saliency[frames]

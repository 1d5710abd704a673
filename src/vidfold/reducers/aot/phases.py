"""The two phases of `AOT`: the candidates of every frame, then the support of every clip; each over all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidfold.ops import lineage
from vidfold.ops.mixing import absorbing
from vidfold.ops.ranks import gather_rows
from vidfold.ops.sketch import sketch
from vidfold.reducers.aot.choose import candidates, saliency, support, taken
from vidfold.reducers.aot.clips import Clips
from vidfold.tokens import Reduction, VideoTokens
from vidfold.transport import partial

if TYPE_CHECKING:
    from vidfold.reducers.aot.method import AOT

CPU_BLOCK, DEVICE_BLOCK = 1 << 23, 1 << 28
"""Numbers that a phase works on at a time: what stays in the caches of a CPU, and what fits on any other device."""
_SHORTEST = 1e-12
_SMALLEST_SCALE = 1e-6
_LAST = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class Candidates:
    """What phase I leaves of every frame: m rows in raster order.

    Attributes:
        values: (F, m, D + marks) float32, merged; the marks say what they are made of, where that was asked for.
        units: (F, m, E) float32 unit tokens as they were before they absorbed anything, sketched to E channels; what
            phase II compares.
        cells: (F, m) int64, cell of the language grid.
        mass: (F, m) float32, what each weighs: 1 and what it absorbed.
        means: (F, E) float32, mean unit token of each frame.
        salient: (F, m) float32 saliency, or None where nobody looks at it.
    """

    values: Tensor
    units: Tensor
    cells: Tensor
    mass: Tensor
    means: Tensor
    salient: Tensor | None


def phase_one(method: AOT, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Candidates:
    """Choose the candidates of each frame and let them absorb what is near them in it."""
    frames, cells = tokens.frames, tokens.cells
    count = cells if method.candidates is None else min(cells, math.ceil(method.candidates * total / frames))
    block = _block(tokens.features, cells * tokens.features.shape[2])
    found = [_frame_candidates(method, tokens, slice(at, at + block), count, weights) for at in range(0, frames, block)]
    values, units, chosen, mass, means, *looked_at = (torch.cat(parts) for parts in zip(*found, strict=True))
    if weights:
        width = tokens.features.shape[2]
        marks = lineage.spread(values[:, :, width:], clips.position, clips.longest)
        values = torch.cat([values[:, :, :width], marks], dim=2)
    mass = mass if method.carry_mass else torch.ones_like(mass)
    return Candidates(values, units, chosen, mass, means, looked_at[0] if looked_at else None)


def _frame_candidates(method: AOT, tokens: VideoTokens, frames: slice, count: int, weights: bool) -> tuple[Tensor, ...]:
    """Values, units, cells, mass, means and, where it is looked at, saliency of some frames; see `Candidates`."""
    features = tokens.pool(tokens.features[frames]).float()
    lengths = torch.linalg.vector_norm(features, dim=2, keepdim=True).clamp_min(_SHORTEST)
    units = (features if method.sketch is None else sketch(features, method.sketch)) / lengths
    means = units.mean(1)
    salient = saliency(tokens, frames) if method.needs else None
    rows, cells = features.shape[:2]
    if count == cells:
        chosen = torch.arange(cells, device=units.device).expand(rows, -1)
        mass = torch.ones_like(features[:, :, 0])
        if weights:
            features = torch.cat([features, torch.eye(cells, device=units.device).expand(rows, -1, -1)], dim=2)
        return features, units, chosen, mass, means, *(() if salient is None else (salient,))
    cost = _distance(units) / _scale(method, means)[:, None, None]
    chosen = candidates(method, tokens, frames, cost, salient, count)
    columns = cost.gather(2, chosen[:, None, :].expand(-1, cells, -1))
    sends = torch.ones_like(cost[:, 0], dtype=torch.bool).scatter_(1, chosen, False)
    plan = partial.shares(
        method.intra, columns, sends.float(), torch.ones_like(chosen, dtype=torch.bool), method.intra_cap, method.rules
    )
    mix, mass = absorbing(method.intra_scale * plan, chosen)
    values = mix @ features
    if weights:
        values = torch.cat([values, mix], dim=2)
    looked_at = () if salient is None else (salient.gather(1, chosen),)
    return values, gather_rows(units, chosen), chosen, mass, means, *looked_at


def phase_two(method: AOT, tokens: VideoTokens, found: Candidates, clips: Clips, total: int) -> Reduction:
    """Choose the support of each clip and let it absorb what the clip repeats."""
    scale = _scale(method, clips.mean(found.means))
    count, longest = found.cells.shape[1], clips.longest
    slots = longest * count
    most = clips.most if method.share == "equal" else 3 * clips.most + 1
    block = _block(found.units, slots * slots)
    choices = []
    for at in range(0, len(clips.frames), block):
        part = slice(at, at + block)
        units = clips.rows(found.units, part)
        cost = _distance(units) / scale[part, None, None]
        choices.append(support(method, found, clips, part, cost, min(slots, most)))
    order, gain, columns = (torch.cat(parts) for parts in zip(*choices, strict=True))
    take, twice = taken(method, gain, clips)

    present = clips.present(count)
    kept = torch.zeros_like(present).scatter_(1, order, take)
    mass = clips.rows(found.mass) * present
    sent = partial.shares(method.inter, columns, mass * ~kept, take, method.inter_cap, method.rules)
    sent = method.inter_scale * (mass * ~kept)[:, :, None] * sent
    rows = clips.rows(found.values)
    own, before = mass.gather(1, order), gather_rows(rows, order)
    merged = (own[:, :, None] * before + sent.transpose(1, 2) @ rows) / (own + sent.sum(1)).clamp_min(1e-12)[:, :, None]
    return _emit(method, tokens, found, clips, (order, take, twice, merged, before), total)


def _emit(
    method: AOT,
    tokens: VideoTokens,
    found: Candidates,
    clips: Clips,
    chosen: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    total: int,
) -> Reduction:
    """The K tokens in their order."""
    order, take, twice, merged, before = chosen
    count, width = found.cells.shape[1], tokens.features.shape[2]
    slot = order + clips.longest * count * torch.arange(len(order), device=order.device)[:, None]
    if method.emission == "double":
        merged, slot = torch.cat([merged, before], dim=1), torch.cat([slot, slot], dim=1)
        take = torch.cat([take, twice], dim=1)
    place = slot if method.order == "time" else torch.arange(slot.numel(), device=slot.device).view_as(slot)
    first = place.masked_fill(~take, _LAST).flatten().argsort(stable=True)[:total]
    folded = merged.flatten(0, 1).index_select(0, first)
    slot = slot.flatten()[first]
    frame = clips.frames.flatten()[slot // count]
    matrix = None
    if folded.shape[1] > width:
        starts = clips.starts[clips.clip_of[frame]]
        matrix = lineage.matrix(folded[:, width:], starts, tokens.cells, tokens.frames)
    return Reduction(
        tokens=folded[:, :width].to(tokens.features.dtype),
        frames=frame,
        cells=found.cells[frame, slot % count],
        grid=tokens.language_grid,
        full=tokens.frames * tokens.cells,
        weights=matrix,
    )


def _distance(units: Tensor) -> Tensor:
    """Half squared distances of all pairs (B, n, n) of tokens (B, n, E), which is 1 - cos for unit tokens.

    Symmetric, with zeros for a token and itself: two tokens that lower a sum by the same amount are then exactly equal.
    """
    halves = units.square().sum(2) / 2
    cost = (halves[:, :, None] + halves[:, None, :]).baddbmm_(units, units.transpose(1, 2), alpha=-1).clamp_min_(0)
    cost.diagonal(dim1=1, dim2=2).zero_()
    return cost


def _scale(method: AOT, means: Tensor) -> Tensor:
    """The unit of cost (B,): the mean cost of two tokens, 1 - |mean unit token (B, D)|^2."""
    if method.scale == "absolute":
        return torch.ones_like(means[:, 0])
    return (1 - means.square().sum(1)).clamp_min(_SMALLEST_SCALE)


def _block(like: Tensor, numbers: int) -> int:
    return max(1, (CPU_BLOCK if like.device.type == "cpu" else DEVICE_BLOCK) // numbers)

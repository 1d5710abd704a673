"""The formulas of the AOT authors' program, with all that departs from the paper."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.ops.ranks import first_true, gather_rows
from vidfold.reducers.aot.absorb import absorb, absorbing, nearest_shares
from vidfold.transport import cosine, grid_distance, grid_positions

_EPSILON = 0.1
_ITERATIONS = 100
_STOP = 0.01
_DISTANCE_WEIGHT = 0.5
_NEAREST_SHARE = 0.1
_TIME_SCALE = 1.5


def sinkhorn_official(
    kernel: Tensor, row_mass: Tensor | None = None, column_mass: Tensor | None = None, iterations: int = _ITERATIONS
) -> tuple[Tensor, int]:
    """The authors' Sinkhorn: one stop rule for the whole batch, on the change of the row scalings.

    Args:
        kernel: (B, M, N) exp(-cost / eps).
        row_mass: (1 or B, M), None: 1/M each.
        column_mass: (1 or B, N), None: 1/N each.
        iterations: at most this many.

    Returns:
        The plan (B, M, N), and the number of iterations.
    """
    batch, rows, columns = kernel.shape
    u = kernel.new_full((1, rows), 1 / rows) if row_mass is None else row_mass
    v = kernel.new_full((1, columns), 1 / columns) if column_mass is None else column_mass
    r, c = kernel.new_ones(batch, rows), kernel.new_ones(batch, columns)
    used = 0
    while used < iterations:
        used += 1
        before = r
        r = u / (c[:, None, :] @ kernel.transpose(1, 2))[:, 0]
        c = v / (r[:, None, :] @ kernel)[:, 0]
        if float((r - before).abs().mean()) < _STOP:
            break
    return r[:, :, None] * kernel * c[:, None, :], used


def intra_mix(features: Tensor, mask: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Phase I: anchors absorb the other patches of their frame.

    Args:
        features: (F, S, D) float32 on the encoder grid.
        mask: (F, S) bool, the T anchors; as many in every frame.
        grid: (H, W).

    Returns:
        The anchors (F, T) int64 in raster order, and what each is made of when merged, (F, T, S).
    """
    total = int(mask[0].sum())
    anchors, others = first_true(mask, mask.shape[1]).tensor_split([total], dim=1)
    if total == 0 or total == mask.shape[1]:
        return anchors, absorbing(features.new_zeros(*mask.shape, total), anchors)[0]
    cost = gather_rows(cosine(features, gather_rows(features, anchors)), others)
    distance = grid_distance(grid_positions(others, grid), grid_positions(anchors, grid))
    plan, _ = sinkhorn_official((-(cost + _DISTANCE_WEIGHT * distance) / _EPSILON).exp())
    nearest = nearest_shares(cost, torch.ones_like(anchors, dtype=torch.bool))
    place = others[:, :, None].expand_as(plan)
    sent = (features.new_zeros(*mask.shape, total).scatter_(1, place, each) for each in (plan, nearest))
    by_plan, by_nearest = (absorbing(each, anchors)[0] for each in sent)
    return anchors, torch.lerp(by_plan, by_nearest, _NEAREST_SHARE)


def inter_merge(
    anchors: Tensor, tokens: Tensor, gap: int, keep: float, scale: float, width: int
) -> tuple[Tensor, Tensor]:
    """Phase II, one step: a clip's anchors absorb what a later frame repeats.

    Args:
        anchors: (M, D + marks) float32, as the step before left them.
        tokens: (N, D + marks), the later frame's.
        gap: frames since the key frame.
        keep: quantile of the row-normalised transport's maximum below which a token is kept.
        scale: weight of the merged tokens.
        width: D; what decides is the first D columns.

    Returns:
        (N,) bool, the tokens that are kept, and the new anchors (M, D + marks).
    """
    if len(tokens) == 0 or len(anchors) == 0:
        return torch.ones(len(tokens), dtype=torch.bool, device=tokens.device), anchors
    plan = _inter_plan(anchors[:, :width], tokens[:, :width], gap)
    share = plan / plan.sum(1, keepdim=True).clamp_min(1e-9)
    strongest = share.amax(1)
    # Less than the interpolated quantile is less than the value above it: no value lies between the two.
    kept = strongest < strongest.sort().values[math.ceil(keep * (len(strongest) - 1))]
    merged, _ = absorb(anchors[None], tokens[None], (scale * share * ~kept[:, None])[None])
    return kept, merged[0]


def _inter_plan(anchors: Tensor, tokens: Tensor, gap: int) -> Tensor:
    similarity = functional.normalize(tokens, dim=-1) @ functional.normalize(anchors, dim=-1).T
    cost = 1 - similarity.clamp(-1 + 1e-6, 1 - 1e-6)
    cost = (cost - cost.min()) * (1 - math.exp(-(gap**2) / (2 * _TIME_SCALE**2 + 1e-9)))
    plan, _ = sinkhorn_official((-cost / _EPSILON).exp()[None])
    return plan[0]

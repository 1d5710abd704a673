"""How anchors take in other tokens, once transport has decided who goes where."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def row_shares(plan: Tensor) -> Tensor:
    """A plan (B, M, N) with every row scaled to sum 1; rows without mass stay 0."""
    return plan / plan.sum(2, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)


def absorb(anchors: Tensor, tokens: Tensor, sent: Tensor, mass: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Weighted means of each anchor and what is sent to it: (m x_j + sum_i s_ij x_i) / (m + sum_i s_ij) (AOT, eq. 7).

    Args:
        anchors: (B, N, E).
        tokens: (B, M, E).
        sent: (B, M, N), mass s_ij that token i sends to anchor j, not negative.
        mass: (B, N) or a number, what each anchor weighs itself.

    Returns:
        The new anchors (B, N, E) and their new mass (B, N).
    """
    own = torch.as_tensor(mass, dtype=anchors.dtype, device=anchors.device).expand(anchors.shape[:2])
    total = own + sent.sum(1)
    return (own[:, :, None] * anchors + sent.transpose(1, 2) @ tokens) / total[:, :, None], total


def nearest_shares(cost: Tensor, columns: Tensor) -> Tensor:
    """Everything of each row to its cheapest column: one-hot (B, M, N).

    Args:
        cost: (B, M, N).
        columns: (B, N) bool, those that may be chosen.
    """
    cheapest = cost.masked_fill(~columns[:, None, :], torch.inf).argmin(2)
    return functional.one_hot(cheapest, cost.shape[2]).to(cost.dtype)


def uniform_mass(members: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mass (B, M) that sums to 1 over the members of each item, 0 elsewhere.

    Args:
        members: (B, M) bool.
        weight: (B, M) not negative, to share the mass in proportion; None shares it equally.
    """
    mass = members.float() if weight is None else members * (weight + 1e-6 * weight.amax(1, keepdim=True) + 1e-12)
    return mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)

"""Partial transport: every sender places its mass where it is cheap, and keeps the rest unmoved at a price."""

import torch
from torch import Tensor

from vidfold.transport.sinkhorn import Transport


def partial(cost: Tensor, mass: Tensor, receivers: Tensor, *, epsilon: float, price: float, cap: float) -> Transport:
    """Solve min <P, C> + price * (mass not moved) + epsilon * entropy with the senders' marginal alone.

    No receiver has a capacity, so the plan is a closed form: of its mass, sender i moves the share
    exp(-c_ij / epsilon) / (exp(-price / epsilon) + sum_k exp(-c_ik / epsilon)) to receiver j (semi-relaxed transport).

    Args:
        cost: (B, M, N) float32.
        mass: (B, M) float32; a token of no mass sends nothing.
        receivers: (B, N) bool.
        epsilon: entropic regularisation, in units of the cost.
        price: of a unit of mass that is not moved.
        cap: pairs of higher cost move nothing.

    Returns:
        The plan (B, M, N), whose rows sum to at most the mass; no iterations, no error.
    """
    allowed = (cost <= cap) & (mass > 0)[:, :, None] & receivers[:, None, :]
    logits = (cost / -epsilon).masked_fill(~allowed, -torch.inf)
    outlet = logits.new_full((*logits.shape[:2], 1), -price / epsilon)
    plan = torch.cat([logits, outlet], dim=2).softmax(2)[:, :, :-1] * mass[:, :, None]
    none = torch.zeros(len(cost), dtype=torch.float32, device=cost.device)
    return Transport(plan, error=none, iterations=none.long(), converged=none == 0)

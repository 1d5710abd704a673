"""Partial transport: every sender places its mass where it is cheap, and leaves the rest unmoved at a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.transport.sinkhorn import sinkhorn

Kind = Literal["semi-relaxed", "balanced", "unbalanced", "nearest", "none"]
KINDS: tuple[Kind, ...] = ("semi-relaxed", "balanced", "unbalanced", "nearest", "none")

_ROUNDS = 10
"""Of the unbalanced plan."""
_TINY = 1e-12


@dataclass(frozen=True)
class Rules:
    """What all kinds of plan go by, in units of the cost.

    Attributes:
        epsilon: entropic regularisation.
        price: of a unit of mass that is not moved (semi-relaxed and unbalanced).
        capacity: rho, weight of the divergence of a receiver's load from the even one (unbalanced).
    """

    epsilon: float
    price: float
    capacity: float


def shares(kind: Kind, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float, rules: Rules) -> Tensor:
    """Which share of its mass each token sends to each receiver.

    - "semi-relaxed": P_ij = exp(-c_ij / epsilon) / (exp(-price / epsilon) + sum_k exp(-c_ik / epsilon)), entropic
      transport with the senders' marginal alone; no receiver has a capacity, so the plan is a closed form.
    - "unbalanced": the same against receivers that take more than their even load at a Kullback-Leibler price.
    - "balanced": Sinkhorn with even loads; senders weigh what their mass says.
    - "nearest": all to the cheapest receiver.
    - "none": nothing moves.

    Args:
        kind: of plan.
        cost: (B, M, N) float32.
        mass: (B, M) float32; a token of no mass sends nothing.
        receivers: (B, N) bool.
        cap: pairs of higher cost move nothing.
        rules: see `Rules`.

    Returns:
        (B, M, N) float32, rows of sum at most 1.
    """
    senders = mass > 0
    allowed = (cost <= cap) & senders[:, :, None] & receivers[:, None, :]
    if kind == "none":
        return torch.zeros_like(cost)
    if kind == "nearest":
        best = cost.masked_fill(~allowed, torch.inf).argmin(2)
        return functional.one_hot(best, cost.shape[2]).to(cost.dtype) * allowed
    if kind == "balanced":
        rows, columns = (side / side.sum(1, keepdim=True).clamp_min(_TINY) for side in (mass, receivers.float()))
        moves = (senders.any(1, keepdim=True) & receivers.any(1, keepdim=True)).float()
        plan = sinkhorn(cost, rows * moves, columns * moves, epsilon=rules.epsilon).plan
        return plan / rows.clamp_min(_TINY)[:, :, None] * allowed
    if kind == "semi-relaxed":
        return _relaxed(cost, allowed, rules)
    even = mass.sum(1)[:, None, None] / receivers.sum(1).clamp_min(1)[:, None, None]
    toll = torch.zeros_like(cost[:, :1])
    for _ in range(_ROUNDS):
        load = mass[:, None, :] @ _relaxed(cost + toll, allowed, rules)
        excess = (load.clamp_min(_TINY) / even.clamp_min(_TINY)).log()
        toll = (toll + rules.epsilon * rules.capacity / (rules.capacity + rules.epsilon) * excess).clamp_min(0)
    return _relaxed(cost + toll, allowed, rules)


def _relaxed(cost: Tensor, allowed: Tensor, rules: Rules) -> Tensor:
    logits = (cost / -rules.epsilon).masked_fill(~allowed, -torch.inf)
    outlet = logits.new_full((*logits.shape[:2], 1), -rules.price / rules.epsilon)
    return torch.cat([logits, outlet], dim=2).softmax(2)[:, :, :-1]

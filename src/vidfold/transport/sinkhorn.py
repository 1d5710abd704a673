"""Entropic optimal transport on batches of small dense problems, by relaxed Sinkhorn iterations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SAFE_EXPONENT = 80.0
"""exp(-80) is still a normal float32; beyond it the kernel must stay in the log domain."""
_PLAIN_STEPS = 4
"""Plain iterations before a problem's contraction is read off its errors."""
_MOST_RELAXED = 1.5
"""Beyond it the iteration may not converge."""


@dataclass(frozen=True, eq=False)
class Transport:
    """The solution of a batch of problems.

    Attributes:
        plan: (B, M, N) float32, mass moved from each row to each column; columns are met exactly.
        error: (B,) float32, L1 distance of the plan's row sums to the marginal, as a share of the problem's mass.
        iterations: (B,) int64, iterations each problem took.
        converged: (B,) bool, whether the error fell below the tolerance.
    """

    plan: Tensor
    error: Tensor
    iterations: Tensor
    converged: Tensor


def sinkhorn(
    cost: Tensor,
    row_mass: Tensor | None = None,
    column_mass: Tensor | None = None,
    *,
    epsilon: float = 0.1,
    span: float | None = None,
    iterations: int = 100,
    tolerance: float = 1e-4,
    relaxation: float | None = None,
) -> Transport:
    """Solve min <P, C> + epsilon * sum P (log P - 1) with given marginals, each problem of the batch on its own.

    The Sinkhorn-Knopp iteration (Cuturi 2013) with over-relaxed scalings: after a few plain iterations each problem
    takes the rate 2 / (1 + sqrt(1 - r)) that is best for its own contraction r (Lehmann et al. 2021, "A note on
    overrelaxation in the Sinkhorn algorithm"), and goes back to the plain rate 1 should its error double. Everything
    runs in float32 on the device of ``cost`` and each problem stops on its own; on a GPU the host never waits.

    Ragged batches are padded: a row or column of zero mass takes no part, and a problem without any mass has an
    empty plan. The masses of rows and columns must have the same sum; where they do not, ``error`` shows it.

    Args:
        cost: (B, M, N) of any float dtype, finite.
        row_mass: (B, M) or (M,), not negative; None is 1/M each.
        column_mass: (B, N) or (N,), likewise; None is 1/N each.
        epsilon: entropic regularisation, in units of the cost.
        span: an upper bound of (largest - smallest cost in a row), which decides between scalings and the slower log
            domain. None looks at the costs, for which the host waits for the device.
        iterations: at most this many.
        tolerance: on the error of both marginals, as a share of the mass.
        relaxation: a rate in [1, 1.5] for all problems from the first iteration, instead of each one's own.

    Raises:
        ValueError: a shape or setting that does not fit.
    """
    batch, rows, columns = _check(cost, epsilon, iterations, tolerance, relaxation)
    a = _marginal("row_mass", row_mass, (batch, rows), cost.device)
    b = _marginal("column_mass", column_mass, (batch, columns), cost.device)

    empty_row, empty_column = (a == 0)[:, :, None], (b == 0)[:, None, :]
    exponent = (-cost.float() / epsilon).masked_fill(empty_column, -torch.inf)
    # Each row's best column at exponent 0: an exact invariance that keeps the scalings small.
    best = exponent.amax(2, keepdim=True)
    exponent = exponent - torch.where(best.isinf(), 0.0, best)
    if span is None:
        span = -float(exponent.masked_fill(empty_row | empty_column, 0).min()) * epsilon
    kernel: _Kernel = _LogKernel(exponent) if span / epsilon > _SAFE_EXPONENT else _ScalingKernel(exponent)

    log_u, log_v, used = _solve(kernel, a, b, iterations, tolerance, relaxation)
    log_v = _scaled(log_v, b, kernel.columns(log_u), 1.0)
    error = _error(a, log_u, kernel.rows(log_v))
    return Transport(plan=kernel.plan(log_u, log_v), error=error, iterations=used, converged=error <= tolerance)


class _ScalingKernel:
    """K = exp(-C / epsilon) kept as numbers: two matrix-vector products an iteration."""

    def __init__(self, exponent: Tensor) -> None:
        self.kernel = exponent.exp()

    def rows(self, log_v: Tensor) -> Tensor:
        """log(K v), (B, M)."""
        # The vector stands on the left: CPU libraries are several times faster that way round.
        return (log_v.exp()[:, None, :] @ self.kernel.transpose(1, 2))[:, 0].log()

    def columns(self, log_u: Tensor) -> Tensor:
        """log(K' u), (B, N)."""
        return (log_u.exp()[:, None, :] @ self.kernel)[:, 0].log()

    def plan(self, log_u: Tensor, log_v: Tensor) -> Tensor:
        """diag(u) K diag(v), (B, M, N)."""
        return log_u.exp()[:, :, None] * self.kernel * log_v.exp()[:, None, :]


class _LogKernel:
    """The same with -C / epsilon and log-sum-exp, for an epsilon so small that K would underflow."""

    def __init__(self, exponent: Tensor) -> None:
        self.exponent = exponent

    def rows(self, log_v: Tensor) -> Tensor:
        """log(K v), (B, M)."""
        return (self.exponent + log_v[:, None, :]).logsumexp(2)

    def columns(self, log_u: Tensor) -> Tensor:
        """log(K' u), (B, N)."""
        return (self.exponent + log_u[:, :, None]).logsumexp(1)

    def plan(self, log_u: Tensor, log_v: Tensor) -> Tensor:
        """diag(u) K diag(v), (B, M, N)."""
        return (self.exponent + log_u[:, :, None] + log_v[:, None, :]).exp()


_Kernel = _ScalingKernel | _LogKernel


def _solve(
    kernel: _Kernel, a: Tensor, b: Tensor, iterations: int, tolerance: float, relaxation: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scalings log u (B, M) and log v (B, N), and the iterations (B,) each problem took."""
    log_u, log_v = (torch.zeros_like(side).masked_fill(side == 0, -torch.inf) for side in (a, b))
    mass = a.sum(1)
    rate = torch.full_like(mass, relaxation or 1.0)
    last = torch.full_like(mass, torch.inf)
    active = mass > 0
    used = torch.zeros_like(mass, dtype=torch.int64)
    for step in range(iterations):
        sums = kernel.rows(log_v)
        row_error = _error(a, log_u, sums)
        new_u = _scaled(log_u, a, sums, rate[:, None])
        sums = kernel.columns(new_u)
        error = torch.maximum(row_error, _error(b, log_v, sums))
        active = active & (error > tolerance)
        if a.device.type == "cpu" and not bool(active.any()):
            break
        if relaxation is None and step == _PLAIN_STEPS:
            rate = (2 / (1 + (1 - (error / last).clamp(0, 1)).sqrt())).clamp_max(_MOST_RELAXED)
        rate = torch.where(error > 2 * last, 1.0, rate)
        last = error
        log_u = torch.where(active[:, None], new_u, log_u)
        log_v = torch.where(active[:, None], _scaled(log_v, b, sums, rate[:, None]), log_v)
        used = used + active
    return log_u, log_v, used


def _scaled(log_scaling: Tensor, mass: Tensor, log_sums: Tensor, rate: Tensor | float) -> Tensor:
    """The scaling moved towards (at rate 1: to) the one that meets the marginal; 0 where there is no mass."""
    moved = log_scaling + rate * (mass.log() - log_sums - log_scaling)
    return torch.where(mass > 0, moved, -torch.inf)


def _error(mass: Tensor, log_scaling: Tensor, log_sums: Tensor) -> Tensor:
    """L1 distance (B,) of the plan's sums to the marginal, as a share of its mass; 0 where there is none."""
    missed = torch.where(mass > 0, (log_scaling + log_sums).exp() - mass, 0.0)
    return missed.abs().sum(1) / mass.sum(1).clamp_min(torch.finfo(mass.dtype).tiny)


def _marginal(name: str, mass: Tensor | None, shape: tuple[int, int], device: torch.device) -> Tensor:
    if mass is None:
        return torch.full(shape, 1 / shape[1], device=device)
    if mass.shape not in (shape, shape[1:]):
        raise ValueError(f"{name} must be of shape {shape} or {shape[1:]}, got {tuple(mass.shape)}")
    return mass.float().expand(shape)


def _check(
    cost: Tensor, epsilon: float, iterations: int, tolerance: float, relaxation: float | None
) -> tuple[int, int, int]:
    if cost.ndim != 3 or 0 in cost.shape or not cost.is_floating_point():
        raise ValueError(
            f"cost must be a floating point (B, M, N) tensor, none of them 0, got {tuple(cost.shape)} {cost.dtype}"
        )
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance!r}")
    if relaxation is not None and not 1 <= relaxation <= _MOST_RELAXED:
        raise ValueError(f"relaxation must be None or in [1, {_MOST_RELAXED}], got {relaxation!r}")
    batch, rows, columns = cost.shape
    return batch, rows, columns

"""Entropic optimal transport on batches of small dense problems, by relaxed Sinkhorn iterations."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.transport import scaling
from vidfold.transport.scaling import MOST_RELAXED

Backend = Literal["torch", "triton"]

_HAS_TRITON = importlib.util.find_spec("triton") is not None
_SAFE_EXPONENT = 70.0
"""Up to it the kernel and its scalings are normal float32 numbers; beyond it they must stay in the log domain."""
_FUSED_ROWS, _FUSED_COLUMNS = 4096, 1024
"""Largest problem of the fused kernel: it keeps the scalings of the columns in registers, and a problem has but one of
the GPU's many processors."""


@dataclass(frozen=True, eq=False)
class Transport:
    """The solution of a batch of problems.

    Attributes:
        plan: (B, M, N) float32, mass moved from each row to each column; where a solution exists, the columns are met
            exactly.
        error: (B,) float32, L1 distance of the plan's row sums to the marginal, as a share of the problem's mass.
        iterations: (B,) int64, iterations each problem took.
        converged: (B,) bool, whether the error fell below the tolerance.
    """

    plan: Tensor
    error: Tensor
    iterations: Tensor
    converged: Tensor


@torch.no_grad()
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
    backend: Backend | None = None,
) -> Transport:
    """Solve min <P, C> + epsilon * sum P (log P - 1) with given marginals, each problem of the batch on its own.

    The Sinkhorn-Knopp iteration (Cuturi 2013) with over-relaxed scalings: after a few plain iterations each problem
    takes the rate 2 / (1 + sqrt(1 - r)) that is best for its own contraction r (Lehmann et al. 2021, "A note on
    overrelaxation in the Sinkhorn algorithm"), and goes back to the plain rate 1 should its error double. An iteration
    scales the rows, then the columns; a problem stops after the one that shows its rows and columns met, with its
    columns met exactly. Everything runs in float32 on the device of ``cost``; on a GPU the host never waits.

    Ragged batches are padded: a row or column of zero mass takes no part, whatever its costs, and a problem without
    any mass has an empty plan after 0 iterations. The masses of rows and columns must have the same sum; where they
    do not, ``error`` shows it.

    A cost of +inf forbids a pair. A row whose pairs are all forbidden sends nothing, which ``error`` shows.

    The solve has no gradient: the plan never requires one, whether or not the costs do. It can be traced (compiled,
    fake or meta tensors): nothing then depends on values, so the torch backend takes all iterations it may take,
    changing only what has not stopped.

    Args:
        cost: (B, M, N) of any float dtype and any strides, no -inf and no NaN.
        row_mass: (B, M) or (M,), not negative; None is 1/M each.
        column_mass: (B, N) or (N,), likewise; None is 1/N each.
        epsilon: entropic regularisation, in units of the cost.
        span: an upper bound of (largest - smallest cost in a row, +inf aside), which decides between scalings and the
            slower log domain, and saves looking at the costs, for which the host waits for the device. Nobody then
            sees a NaN or -inf: such a problem gets a plan of NaN and does not converge; the others take no harm.
            Without it a cost that is traced cannot be looked at either, and the log domain is taken.
        iterations: at most this many.
        tolerance: on the error of both marginals, as a share of the mass.
        relaxation: a rate in [1, 1.5] for all problems from the first iteration, instead of each one's own.
        backend: "torch" runs anywhere; "triton" is one fused kernel for CUDA tensors, up to 4096 x 1024, with the
            same iterations and results. None takes it where it can be had.

    Raises:
        ValueError: a shape, device, setting or, where ``span`` is None, a cost that does not fit.
        ImportError: backend "triton" without Triton.
    """
    _check(cost, epsilon, iterations, tolerance, relaxation)
    batch, rows, columns = cost.shape
    cost = cost.detach()
    a = _marginal("row_mass", row_mass, (batch, rows), cost.device)
    b = _marginal("column_mass", column_mass, (batch, columns), cost.device)
    fused = _fused(backend, cost)
    if span is None:
        span = _span(cost, a, b)
    log_domain = not span / epsilon <= _SAFE_EXPONENT
    problem = cost, a, b, epsilon, log_domain, iterations, tolerance, relaxation
    if fused:
        from vidfold.transport import kernels

        plan, error, used = kernels.solve(*problem)
    else:
        plan, error, used = scaling.solve(*problem)
    return Transport(plan, error, used, error <= tolerance)


def _fused(backend: Backend | None, cost: Tensor) -> bool:
    """Whether the Triton kernel is to run."""
    if backend not in (None, "torch", "triton"):
        raise ValueError(f"backend must be None, 'torch' or 'triton', got {backend!r}")
    rows, columns = cost.shape[1:]
    fits = rows <= _FUSED_ROWS and columns <= _FUSED_COLUMNS
    if backend is None:
        return cost.device.type == "cuda" and fits and _HAS_TRITON
    if backend == "torch":
        return False
    if not _HAS_TRITON:
        raise ImportError("backend 'triton' needs Triton: pip install triton, or leave backend at None")
    if not fits:
        raise ValueError(f"backend 'triton' takes up to {_FUSED_ROWS} x {_FUSED_COLUMNS}, got {rows} x {columns}")
    if cost.device.type != "cuda":
        from vidfold.transport import kernels

        if not kernels.INTERPRETED:
            raise ValueError(
                f"backend 'triton' needs CUDA tensors, got one on {cost.device}; for a CPU, Triton's interpreter must "
                "be switched on before anything imports triton: TRITON_INTERPRET=1"
            )
    return True


def _span(cost: Tensor, a: Tensor, b: Tensor) -> float:
    """The largest difference of costs in a row, forbidden pairs and padding aside; infinite where none can look."""
    if cost.device.type == "meta" or type(cost) is not Tensor or torch.compiler.is_compiling():
        return torch.inf
    apart = (a == 0)[:, :, None] | (b == 0)[:, None, :]
    least = cost.masked_fill(apart, torch.inf).amin(2)
    most = cost.masked_fill(apart | (cost == torch.inf), -torch.inf).amax(2)
    found = torch.where(least < torch.inf, most.float() - least.float(), 0.0)
    # Not a number where a cost is none, infinite where it is -inf.
    span = float(torch.where(least.isnan(), torch.nan, found).amax())
    if not span < torch.inf:
        nans, below = (int((bad & ~apart).sum()) for bad in (cost.isnan(), cost == -torch.inf))
        raise ValueError(f"cost must be above -inf (+inf forbids a pair), got {nans} NaN and {below} -inf")
    return span


def _marginal(name: str, mass: Tensor | None, shape: tuple[int, int], device: torch.device) -> Tensor:
    if mass is None:
        return torch.full(shape, 1 / shape[1], dtype=torch.float32, device=device)
    if mass.shape not in (shape, shape[1:]):
        raise ValueError(f"{name} must be of shape {shape} or {shape[1:]}, got {tuple(mass.shape)}")
    if mass.device != device:
        raise ValueError(f"{name} must be on the device of cost, {device}, got {mass.device}")
    return mass.detach().float().expand(shape)


def _check(cost: Tensor, epsilon: float, iterations: int, tolerance: float, relaxation: float | None) -> None:
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
    if relaxation is not None and not 1 <= relaxation <= MOST_RELAXED:
        raise ValueError(f"relaxation must be None or in [1, {MOST_RELAXED}], got {relaxation!r}")

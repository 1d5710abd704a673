"""Transport problems with known answers, and one checker for every solution."""

from dataclasses import dataclass, fields

import pytest
import torch
from torch import Tensor

from vidfold.transport import Transport, sinkhorn


@dataclass
class Problem:
    """A batch of problems; ``plan`` is the exact answer where it has a closed form."""

    cost: Tensor
    row_mass: Tensor | None = None
    column_mass: Tensor | None = None
    epsilon: float = 0.1
    plan: Tensor | None = None


def product(batch: int = 3, rows: int = 7, columns: int = 5, seed: int = 0) -> Problem:
    """Costs that are the sum of a row and a column term: the optimal plan is the product of the marginals."""
    torch.manual_seed(seed)
    cost = torch.rand(batch, rows, 1) + torch.rand(batch, 1, columns)
    a, b = torch.rand(batch, rows).softmax(1), torch.rand(batch, columns).softmax(1)
    return Problem(cost, a, b, plan=a[:, :, None] * b[:, None, :])


def permutation(size: int = 6, seed: int = 0) -> Problem:
    """Zero cost along a permutation, high cost elsewhere: for small epsilon the plan is the permutation."""
    torch.manual_seed(seed)
    match = torch.eye(size)[torch.randperm(size)][None]
    mass = torch.full((1, size), 1 / size)
    return Problem(2 * (1 - match), mass, mass, epsilon=0.02, plan=match / size)


def dirac(rows: int = 9) -> Problem:
    """One column: all mass goes there."""
    a = torch.rand(1, rows).softmax(1)
    return Problem(torch.rand(1, rows, 1), a, torch.ones(1, 1), plan=a[:, :, None])


def two_by_two(gap: float = 0.3, epsilon: float = 0.1) -> Problem:
    """Symmetric 2x2 problem: the diagonal of the plan is 1 / (2 (1 + exp(-gap / epsilon)))."""
    cost = torch.tensor([[[0.0, gap], [gap, 0.0]]])
    mass = torch.full((1, 2), 0.5)
    diagonal = 0.5 / (1 + torch.tensor(-gap / epsilon).exp())
    plan = torch.tensor([[[diagonal, 0.5 - diagonal], [0.5 - diagonal, diagonal]]])
    return Problem(cost, mass, mass, epsilon, plan)


def random(batch: int = 4, rows: int = 30, columns: int = 20, epsilon: float = 0.1, seed: int = 0) -> Problem:
    """Uniform random costs in [0, 1.6] and random marginals; no closed form."""
    torch.manual_seed(seed)
    a, b = torch.rand(batch, rows).softmax(1), torch.rand(batch, columns).softmax(1)
    return Problem(1.6 * torch.rand(batch, rows, columns), a, b, epsilon)


def solve(problem: Problem, *, backend: str | None = None, **settings) -> Transport:
    """Solve on the device that the backend needs, and return the solution on the CPU."""
    device = "cpu"
    if backend == "triton":
        pytest.importorskip("triton", reason="the fused kernel needs Triton")
        # Without a GPU, Triton's interpreter takes CPU tensors.
        device = "cuda" if torch.cuda.is_available() else "cpu"
    masses = (None if mass is None else mass.to(device) for mass in (problem.row_mass, problem.column_mass))
    solution = sinkhorn(problem.cost.to(device), *masses, backend=backend, **{"epsilon": problem.epsilon} | settings)
    return Transport(*(getattr(solution, field.name).cpu() for field in fields(solution)))


def check(problem: Problem, solution: Transport, tolerance: float = 1e-4) -> None:
    """Check mass, marginals, sign, reported error, and the exact plan if it is known."""
    plan = solution.plan
    assert plan.shape == problem.cost.shape
    assert plan.dtype == torch.float32
    assert (plan >= 0).all()
    assert torch.isfinite(plan).all()
    torch.testing.assert_close(plan.sum(1), problem.column_mass.expand(plan.sum(1).shape), atol=1e-6, rtol=1e-4)
    missed = (plan.sum(2) - problem.row_mass).abs().sum(1)
    mass = problem.row_mass.sum(1).clamp_min(1e-30)
    torch.testing.assert_close(solution.error, missed / mass, atol=2e-6, rtol=1e-2)
    assert torch.equal(solution.converged, solution.error <= tolerance)
    assert solution.converged.all()
    if problem.plan is not None:
        torch.testing.assert_close(plan, problem.plan, atol=2 * tolerance, rtol=0)

"""Unusual, forbidden and wrong input of both backends."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.transport import problems
from tests.transport.problems import Problem, check, solve
from vidfold.transport import sinkhorn

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton"),
    pytest.mark.parametrize("backend", ["torch", "triton"]),
]
SPANS = pytest.mark.parametrize("span", [None, 1e6], ids=["scalings", "log"])


def three(seed: int = 0) -> Problem:
    """Three problems of 5 x 4 with uniform marginals; tests change the second one."""
    torch.manual_seed(seed)
    return Problem(torch.rand(3, 5, 4), torch.full((3, 5), 0.2), torch.full((3, 4), 0.25), epsilon=0.3)


def arrays(problem: Problem) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return problem.cost, problem.row_mass, problem.column_mass


def assert_others_unchanged(problem: Problem, solution, **settings) -> None:
    others = replace(
        problem, cost=problem.cost[[0, 2]], row_mass=problem.row_mass[[0, 2]], column_mass=problem.column_mass[[0, 2]]
    )
    alone = solve(others, **settings)
    torch.testing.assert_close(solution.plan[[0, 2]], alone.plan)
    assert solution.converged[[0, 2]].all()


@SPANS
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (4, 4)])
def test_equal_costs_give_the_product(backend, span, size):
    torch.manual_seed(0)
    a, b = torch.rand(2, size[0]).softmax(1), torch.rand(2, size[1]).softmax(1)
    problem = Problem(torch.full((2, *size), 1.5), a, b, plan=a[:, :, None] * b[:, None, :])
    solution = solve(problem, span=span, backend=backend)
    check(problem, solution)
    assert (solution.iterations <= 2).all()


@SPANS
def test_forbidden_pairs_get_no_mass(backend, span):
    problem = three()
    dear = problem.cost.clone()
    problem.cost[1, 0, 0], problem.cost[1, 2, 1:] = torch.inf, torch.inf
    dear[problem.cost == torch.inf] = 8.0
    solution, expected = (
        solve(each, span=reach, backend=backend)
        for each, reach in ((problem, span), (replace(problem, cost=dear), 1e6))
    )
    check(problem, solution)
    assert (solution.plan[problem.cost == torch.inf] == 0).all()
    torch.testing.assert_close(solution.plan, expected.plan, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("span", [2.0, 1e6], ids=["scalings", "log"])
def test_row_without_pairs_sends_nothing(backend, span):
    problem = three()
    problem.cost[1, 2] = torch.inf
    solution = solve(problem, span=span, iterations=20, backend=backend)
    assert torch.isfinite(solution.plan).all()
    assert (solution.plan[1, 2] == 0).all()
    # Other rows must send its share, so the error counts it twice.
    assert solution.error[1] == pytest.approx(0.4, abs=1e-3)
    assert not solution.converged[1]
    assert_others_unchanged(problem, solution, span=span, iterations=20, backend=backend)


@pytest.mark.parametrize("span", [2.0, 1e6], ids=["scalings", "log"])
def test_column_without_pairs_receives_nothing(backend, span):
    problem = three()
    problem.cost[1, :, 2] = torch.inf
    solution = solve(problem, span=span, iterations=20, backend=backend)
    assert torch.isfinite(solution.plan).all()
    assert (solution.plan[1, :, 2] == 0).all()
    assert solution.error[1] == pytest.approx(0.25, abs=1e-3)
    assert_others_unchanged(problem, solution, span=span, iterations=20, backend=backend)


@pytest.mark.parametrize("span", [2.0, 1e6], ids=["scalings", "log"])
@pytest.mark.parametrize("wrong", [torch.nan, -torch.inf])
def test_nan_cost_affects_only_its_problem(backend, span, wrong):
    problem = three()
    problem.cost[1, 2, 3] = wrong
    solution = solve(problem, span=span, backend=backend)
    assert solution.plan[1].isnan().all()
    assert not solution.converged[1]
    assert_others_unchanged(problem, solution, span=span, backend=backend)


@pytest.mark.parametrize("span", [2.0, 1e6], ids=["scalings", "log"])
def test_stopped_problem_does_not_change(backend, span):
    slow, easy = problems.random(2, 6, 5, epsilon=0.2), problems.random(4, 6, 5, epsilon=0.2)
    # A problem without mass, one without a measurable contraction, and one with NaN.
    easy.row_mass[0], easy.column_mass[0], easy.cost[1], easy.cost[2, 0, 0] = 0, 0, 1.0, torch.nan
    settings = {"span": span, "iterations": 12, "backend": backend}
    stopped, going = solve(easy, **settings), solve(slow, **settings)
    mixed = solve(Problem(*(torch.cat(pair) for pair in zip(arrays(easy), arrays(slow), strict=True)), 0.2), **settings)
    assert mixed.iterations.tolist() == [*stopped.iterations.tolist(), *going.iterations.tolist()]
    assert mixed.iterations[:3].tolist() == [0, 2, 1]
    torch.testing.assert_close(mixed.plan, torch.cat([stopped.plan, going.plan]), equal_nan=True)
    torch.testing.assert_close(mixed.error, torch.cat([stopped.error, going.error]), equal_nan=True)


def test_nan_cost_raises_if_costs_are_checked(backend):
    problem = three()
    problem.cost[0, :2, 0], problem.cost[2, 0, 0] = torch.nan, -torch.inf
    with pytest.raises(ValueError, match="got 2 NaN and 1 -inf"):
        solve(problem, backend=backend)


def test_strides_and_slices(backend):
    torch.manual_seed(0)
    base = torch.rand(3, 5, 4)
    views = (base.permute(2, 0, 1), base[::2, 1:4, 1::2], base[:, :, :1].expand(3, 5, 2), base.transpose(1, 2))
    for view in views:
        a, b = (torch.rand(size, len(view)).softmax(0).T for size in view.shape[1:])
        expected = solve(Problem(view.contiguous(), a.contiguous(), b.contiguous(), 0.3), iterations=4, backend=backend)
        got = solve(Problem(view, a, b, 0.3), iterations=4, backend=backend)
        torch.testing.assert_close(got.plan, expected.plan)
        assert not got.plan.isnan().any()


def test_costs_are_not_modified(backend):
    problem = three()
    before = [problem.cost.clone(), problem.row_mass.clone(), problem.column_mass.clone()]
    solve(problem, span=2.0, backend=backend)
    for now, then in zip((problem.cost, problem.row_mass, problem.column_mass), before, strict=True):
        assert torch.equal(now, then)


def test_half_precision_costs(backend):
    problem = three()
    problem.cost = problem.cost.half()
    expected = solve(replace(problem, cost=problem.cost.float()), backend=backend)
    solution = solve(problem, backend=backend)
    assert solution.plan.dtype == torch.float32
    torch.testing.assert_close(solution.plan, expected.plan)


def test_no_gradient_flows(backend):
    problem = three()
    expected = solve(problem, backend=backend)
    problem.cost.requires_grad_()
    problem.row_mass.requires_grad_()
    solution = solve(problem, backend=backend)
    assert not solution.plan.requires_grad
    assert torch.equal(solution.plan, expected.plan)
    (problem.cost * solution.plan).sum().backward()
    torch.testing.assert_close(problem.cost.grad, solution.plan)


def test_marginals_on_another_device(backend):
    with pytest.raises(ValueError, match="row_mass must be on the device of cost, cpu, got meta"):
        sinkhorn(torch.rand(1, 3, 4), torch.ones(3, device="meta"), backend=backend)
    with pytest.raises(ValueError, match="column_mass must be on the device of cost, cpu, got meta"):
        sinkhorn(torch.rand(1, 3, 4), None, torch.ones(4, device="meta"), backend=backend)


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 0, 4), (1, 3, 0)])
def test_empty_problems(backend, shape):
    with pytest.raises(ValueError, match="none of them 0"):
        sinkhorn(torch.rand(shape), backend=backend)


@pytest.mark.parametrize("span", [None, 2.0])
def test_fake_tensors(backend, span):
    if backend == "triton":
        pytest.importorskip("triton", reason="the fused kernel needs Triton")
    with FakeTensorMode():
        device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
        solution = sinkhorn(torch.rand(2, 6, 5, device=device), span=span, iterations=7, backend=backend)
    assert solution.plan.shape == (2, 6, 5)
    assert [tuple(each.shape) for each in (solution.error, solution.iterations, solution.converged)] == [(2,)] * 3
    assert solution.iterations.dtype == torch.int64


@pytest.mark.parametrize("settings", [{}, {"tolerance": 0.5}, {"span": 1e6, "relaxation": 1.4}])
def test_compiled_as_one_graph(backend, settings):
    problem = three()
    problem.cost[1] = 1.0
    settings = {"span": 2.0, "iterations": 2, "backend": backend} | settings
    expected = solve(problem, **settings)
    device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
    compiled = torch.compile(
        lambda cost: sinkhorn(cost, epsilon=problem.epsilon, **settings), backend="aot_eager", fullgraph=True
    )
    got = compiled(problem.cost.to(device))
    torch.testing.assert_close(got.plan.cpu(), expected.plan)
    torch.testing.assert_close(got.error.cpu(), expected.error)
    assert torch.equal(got.iterations.cpu(), expected.iterations)


def test_meta_tensors(backend):
    if backend == "torch":
        assert sinkhorn(torch.rand(2, 6, 5, device="meta"), iterations=7).plan.shape == (2, 6, 5)


def test_backend_must_be_known(backend):
    with pytest.raises(ValueError, match=f"backend must be None, 'torch' or 'triton', got '{backend}2'"):
        sinkhorn(torch.rand(1, 3, 4), backend=f"{backend}2")


def test_without_triton(backend, monkeypatch):
    monkeypatch.setattr(import_module("vidfold.transport.sinkhorn"), "_HAS_TRITON", False)
    if backend == "torch":
        assert sinkhorn(torch.rand(1, 3, 4)).converged.all()
    else:
        with pytest.raises(ImportError, match="pip install triton"):
            sinkhorn(torch.rand(1, 3, 4), backend="triton")

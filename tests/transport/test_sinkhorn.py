import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport import problems
from tests.transport.problems import Problem, check
from vidfold.transport import sinkhorn

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")

BACKENDS = ["torch", "triton"]
KNOWN = [problems.product(), problems.permutation(), problems.dirac(), problems.two_by_two(), problems.two_by_two(0.9)]


def solve(problem: Problem, **settings):
    return problems.solve(problem, **{"iterations": 3000} | settings)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("problem", KNOWN)
@pytest.mark.parametrize("span", [None, 2.0, 1e6], ids=["measured", "scalings", "log"])
@pytest.mark.parametrize("relaxation", [None, 1.0, 1.3])
def test_known_answers(problem, span, relaxation, backend):
    if span == 2.0 and problem.epsilon < 0.029:
        span = None
    check(problem, solve(problem, span=span, relaxation=relaxation, backend=backend))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (20, 20), (64, 17), (603, 126)])
@pytest.mark.parametrize("epsilon", [0.5, 0.1, 0.03])
def test_equals_pot(size, epsilon):
    problem = problems.random(2, *size, epsilon=epsilon, seed=size[0])
    solution = solve(problem, tolerance=1e-6)
    check(problem, solution, tolerance=1e-6 if solution.converged.all() else 1e-5)
    for item in range(2):
        a, b = problem.row_mass[item].double().numpy(), problem.column_mass[item].double().numpy()
        cost = problem.cost[item].double().numpy()
        oracle = ot.sinkhorn(a / a.sum(), b / b.sum(), cost, epsilon, stopThr=1e-13, numItermax=20000)
        assert np.abs(oracle - solution.plan[item].numpy()).sum() < 2e-5


def test_log_domain_equals_pot_at_small_epsilon():
    problem = problems.random(1, 12, 10, epsilon=0.005)
    solution = solve(problem, iterations=20000, tolerance=1e-5)
    a, b = problem.row_mass[0].double(), problem.column_mass[0].double()
    oracle = ot.sinkhorn(
        (a / a.sum()).numpy(), (b / b.sum()).numpy(), problem.cost[0].double().numpy(), 0.005,
        method="sinkhorn_log", stopThr=1e-12, numItermax=200000,
    )  # fmt: skip
    assert torch.isfinite(solution.plan).all()
    assert np.abs(oracle - solution.plan[0].numpy()).sum() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("relaxation", [None, 1.5])
def test_relaxed_iterations_reach_the_same_optimum(backend, relaxation):
    problem = problems.random(2, 24, 15, epsilon=0.06, seed=3)
    plain = solve(problem, tolerance=1e-6, relaxation=1.0)
    relaxed = solve(problem, tolerance=1e-6, relaxation=relaxation, backend=backend)
    assert (relaxed.iterations < 0.7 * plain.iterations).all()
    for item in range(2):
        a, b = problem.row_mass[item].double(), problem.column_mass[item].double()
        cost = problem.cost[item].double().numpy()
        oracle = ot.sinkhorn((a / a.sum()).numpy(), (b / b.sum()).numpy(), cost, 0.06, stopThr=1e-13, numItermax=20000)
        for solution in (plain, relaxed):
            assert np.abs(oracle - solution.plan[item].numpy()).sum() < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("span", [None, 1e6], ids=["scalings", "log"])
@pytest.mark.parametrize("rubbish", [0.0, torch.nan, torch.inf])
def test_padding_is_ignored(backend, span, rubbish):
    problem = problems.random(1, 11, 8)
    padded = Problem(torch.rand(3, 15, 12), torch.zeros(3, 15), torch.zeros(3, 12))
    padded.cost[0, :11, :8], padded.row_mass[0, :11], padded.column_mass[0, :8] = (
        problem.cost[0],
        problem.row_mass[0],
        problem.column_mass[0],
    )
    padded.row_mass[1, 14] = padded.column_mass[1, 0] = 1  # a single pair; the third problem is empty
    if rubbish:
        padded.cost[0, 11:] = padded.cost[0, :, 8:] = padded.cost[1, :14] = padded.cost[2, 0] = rubbish
    small, large = (solve(each, tolerance=1e-6, span=span, backend=backend) for each in (problem, padded))
    torch.testing.assert_close(large.plan[0, :11, :8], small.plan[0], atol=1e-7, rtol=1e-5)
    assert large.plan[0].sum() == pytest.approx(1, abs=1e-5)
    assert large.plan[1, 14, 0] == 1
    assert large.plan[2].abs().sum() == 0
    assert large.iterations[2] == 0
    check(padded, large, tolerance=1e-6)


def test_problems_stop_independently():
    easy, hard = problems.product(1, 20, 20), problems.random(1, 20, 20, epsilon=0.03)
    alone = sinkhorn(hard.cost, hard.row_mass, hard.column_mass, epsilon=0.03, iterations=3000)
    both = sinkhorn(
        torch.cat([easy.cost, hard.cost]),
        torch.cat([easy.row_mass, hard.row_mass]),
        torch.cat([easy.column_mass, hard.column_mass]),
        epsilon=0.03,
        iterations=3000,
    )
    assert both.iterations[0] < both.iterations[1] == alone.iterations[0]
    torch.testing.assert_close(both.plan[1:], alone.plan)


def test_relaxation_helps_slow_problems_and_does_not_slow_fast_ones():
    slow, fast = problems.random(4, 60, 40, epsilon=0.03), problems.random(4, 60, 40, epsilon=0.5)
    assert solve(slow).iterations.sum() < 0.8 * solve(slow, relaxation=1.0).iterations.sum()
    assert (solve(fast).iterations <= solve(fast, relaxation=1.0).iterations).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_computes_in_float32(dtype):
    problem = problems.random()
    cast = problem.cost.to(dtype)
    expected = sinkhorn(cast.float(), problem.row_mass, problem.column_mass)
    got = sinkhorn(cast, problem.row_mass, problem.column_mass)
    assert torch.equal(got.plan, expected.plan)


def test_too_few_iterations_are_reported():
    solution = solve(problems.random(epsilon=0.03), iterations=2)
    assert not solution.converged.any()
    assert (solution.error > 1e-4).all()


def test_unequal_masses_are_reported():
    problem = problems.random()
    assert not sinkhorn(problem.cost, problem.row_mass * 2, problem.column_mass).converged.any()


def test_marginals_may_be_shared_or_omitted():
    problem = problems.random()
    default = sinkhorn(problem.cost)
    shared = sinkhorn(problem.cost, torch.full((30,), 1 / 30), torch.full((20,), 1 / 20))
    torch.testing.assert_close(default.plan, shared.plan)


@settings(max_examples=40)
@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    scale=st.floats(0, 2),
    shift=st.floats(-3, 3),
    data=st.data(),
)
def test_marginals_hold_and_cost_shifts_do_not_matter(batch, rows, columns, scale, shift, data):
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    problem = Problem(
        scale * torch.rand(batch, rows, columns),
        torch.rand(batch, rows).softmax(1),
        torch.rand(batch, columns).softmax(1),
    )
    solution = solve(problem)
    check(problem, solution)
    problem.cost = problem.cost + shift * torch.rand(batch, rows, 1)
    torch.testing.assert_close(solve(problem).plan, solution.plan, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cost": torch.rand(3, 4)}, r"cost must be .*got \(3, 4\)"),
        ({"cost": torch.ones(1, 3, 4, dtype=torch.int64)}, "torch.int64"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"tolerance": -1.0}, "tolerance must not be negative"),
        ({"relaxation": 1.9}, r"relaxation must be None or in \[1, 1.5\], got 1.9"),
        ({"row_mass": torch.ones(2, 2)}, r"row_mass must be of shape \(1, 3\)"),
        ({"column_mass": torch.ones(3)}, r"column_mass must be of shape \(1, 4\)"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(**{"cost": torch.rand(1, 3, 4)} | settings)

"""The fused kernel against the torch solver, in Triton's interpreter if there is no GPU."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from tests.transport import problems
from tests.transport.problems import Problem, solve
from vidfold.transport import sinkhorn

pytest.importorskip("triton", reason="the fused kernel needs Triton")
kernels = pytest.importorskip("vidfold.transport.kernels")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")

SIZES = [(1, 1), (1, 9), (9, 1), (1, 1000), (1000, 1), (28, 28), (40, 41), (64, 17), (197, 40)]


def batch(size: tuple[int, int]) -> int:
    """Two problems, but one where the interpreter takes long."""
    return 1 if size == (197, 40) else 2


def assert_equal(problem: Problem, relative: float = 1e-5, **settings) -> None:
    """Both backends give the same iterations, error and plan, even in its smallest entries."""
    expected, got = (solve(problem, backend=backend, **settings) for backend in ("torch", "triton"))
    assert got.iterations.tolist() == expected.iterations.tolist()
    torch.testing.assert_close(got.error, expected.error, atol=5e-7, rtol=1e-5)
    torch.testing.assert_close(got.plan, expected.plan, atol=1e-12, rtol=relative)
    assert torch.equal(got.converged, expected.converged)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("relaxation", "tolerance"), [(None, 1e-4), (1.0, 1e-2), (1.4, 1e-4)])
def test_scalings(size, relaxation, tolerance):
    problem = problems.random(batch(size), *size, epsilon=0.1, seed=sum(size))
    assert_equal(problem, span=1.6, relaxation=relaxation, tolerance=tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("relaxation", [None, 1.4])
def test_log_domain(size, relaxation):
    # Exponents of up to 80 are rounded to 4e-6, so the smallest entries may differ by that much.
    problem = problems.random(batch(size), *size, epsilon=0.02, seed=sum(size))
    assert_equal(problem, relative=3e-5, span=1e6, iterations=10, relaxation=relaxation)


@pytest.mark.parametrize(("size", "iterations"), [((150, 126), 12), ((40, 600), 4)])
def test_many_tiles(size, iterations):
    assert_equal(problems.random(1, *size, epsilon=0.05), span=1.6, iterations=iterations)


def test_masses_of_any_sum_and_fallback_to_plain_iterations():
    problem = problems.random(3, 7, 9, epsilon=0.03)
    problem.row_mass *= torch.tensor([[1.0], [30.0], [0.01]])
    problem.column_mass *= torch.tensor([[1.0], [30.0], [0.02]])
    assert_equal(problem, span=1.6, iterations=25, relaxation=1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_costs_of_any_dtype(dtype):
    problem = problems.random(2, 12, 10)
    problem.cost = problem.cost.to(dtype)
    assert_equal(problem, span=1.6)


def test_tiles_cover_the_problem_and_stay_small():
    for rows in (1, 2, 3, 28, 196, 603, 729, 4096):
        for columns in (1, 16, 28, 126, 729, 1024):
            tile_rows, tile_columns, warps = kernels.launch_shape(rows, columns)
            assert tile_columns >= columns
            assert tile_rows * tile_columns <= 8192
            assert tile_rows >= rows or tile_rows * tile_columns == 8192
            assert warps in (1, 2, 4, 8, 16)
    assert kernels.launch_shape(28, 28) == (32, 32, 1)
    assert kernels.launch_shape(603, 126) == (64, 128, 16)


def test_largest_problem():
    with pytest.raises(ValueError, match="takes up to 4096 x 1024, got 2 x 1025"):
        sinkhorn(torch.rand(1, 2, 1025), backend="triton")
    assert sinkhorn(torch.rand(1, 2, 1025)).converged.all()


def test_a_cpu_needs_the_interpreter(monkeypatch):
    monkeypatch.setattr(kernels, "INTERPRETED", False)
    with pytest.raises(ValueError, match=r"needs CUDA tensors, got one on cpu.*TRITON_INTERPRET=1"):
        sinkhorn(torch.rand(1, 2, 3), backend="triton")


def test_compiles_without_a_gpu():
    # Problems of one tile and of many tiles, in both domains.
    program = """
        from triton import compile
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from vidfold.transport import kernels

        kernel = kernels._solve_problem
        pointers = dict.fromkeys(("cost", "row_mass", "column_mass", "plan", "row_scaling", "error_of"), "*fp32")
        known = pointers | {"steps_of": "*i64"} | dict.fromkeys(("scale", "tolerance", "extra"), "fp32")
        for rows, columns, log in ((28, 28, False), (603, 126, False), (603, 126, True)):
            tile_rows, tile_columns, warps = kernels.launch_shape(rows, columns)
            constants = {"LOG": log, "AUTO": True, "ONE_TILE": tile_rows >= rows}
            constants |= {"TILE_ROWS": tile_rows, "TILE_COLUMNS": tile_columns}
            source = ASTSource(
                fn=kernel,
                signature={
                    name: "constexpr" if name in constants else known.get(name, "i32") for name in kernel.arg_names
                },
                constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
            )
            built = compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": warps})
            assert ".entry _solve_problem" in built.asm["ptx"]
            assert len(built.asm["cubin"])
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr

"""Time and accuracy of the transport solver, compared with POT's batch solver and a plain loop.

    .venv/bin/python -m lab.transport [--device cuda] [--threads 1] [--runs 9]

Input: cosine costs of synthetic features, uniform marginals, epsilon 0.1, float32; 32 problems of 603x126 (the tokens
and anchors of 32 frames) and 256 of 28x28. All solvers stop at the same error: the L1 distance of every problem's row
sums to their marginal is at most 1e-4 of the mass. POT measures the L2 norm, so it gets the loosest tolerance of a few
that meets this limit. Solvers run in turns; a slow one stops after 10 seconds. The optimum is the plan of plain float64
iterations up to an error of 1e-9.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import ot
import torch
from torch import Tensor

from vidfold import __version__
from vidfold.app.tables import table
from vidfold.transport import cosine, sinkhorn

EPSILON = 0.1
TOLERANCE = 1e-4
SIZES = ((32, 603, 126), (256, 28, 28))
SECONDS = 10

Solver = Callable[[Tensor], tuple[Tensor, str]]
"""Costs -> plan and iterations."""


def costs(batch: int, rows: int, columns: int, device: str) -> Tensor:
    """Cosine costs (B, M, N) between noisy tokens of the same six kinds."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(6, 64, generator=generator)

    def features(count: int) -> Tensor:
        kind = torch.randint(6, (batch, count), generator=generator)
        return kinds[kind] + 0.7 * torch.randn(batch, count, 64, generator=generator)

    return cosine(features(rows), features(columns)).to(device)


def ours(backend: Literal["torch", "triton"]) -> Solver:
    def solve(cost: Tensor) -> tuple[Tensor, str]:
        solution = sinkhorn(cost, epsilon=EPSILON, span=2.0, iterations=1000, tolerance=TOLERANCE, backend=backend)
        return solution.plan, f"{float(solution.iterations.float().mean()):.0f} (most {int(solution.iterations.max())})"

    return solve


def plain(cost: Tensor) -> tuple[Tensor, str]:
    """All problems together until the slowest has converged; the host checks after each iteration."""
    return plain_iterations((-cost / EPSILON).exp(), TOLERANCE)


def plain_iterations(kernel: Tensor, tolerance: float) -> tuple[Tensor, str]:
    rows, columns = kernel.shape[1:]
    u, v = torch.ones_like(kernel[:, :, :1]), torch.ones_like(kernel[:, :1, :]).transpose(1, 2)
    for step in range(100_000):
        sums = kernel @ v
        if step and ((u * sums - 1 / rows).abs().sum(1).max() <= tolerance).item():
            break
        u = 1 / rows / sums
        v = 1 / columns / (kernel.transpose(1, 2) @ u)
    return u * kernel * v.transpose(1, 2), str(step)


def pot(method: str, cost: Tensor) -> Solver:
    """POT with the loosest tolerance that meets ours on these costs."""

    def at(tolerance: float) -> Solver:
        def solve(cost: Tensor) -> tuple[Tensor, str]:
            result = ot.solve_batch(cost, EPSILON, max_iter=100_000, tol=tolerance, method=method, grad="detach")
            return result.plan, str(result.log["n_iter"] + 1)

        return solve

    for looser in (8, 4, 2):
        solver = at(looser * TOLERANCE / cost.shape[1] ** 0.5)
        if worst_error(solver(cost)[0]) <= TOLERANCE:
            return solver
    return at(TOLERANCE / cost.shape[1] ** 0.5)


def worst_error(plan: Tensor) -> float:
    return float((plan.double().sum(2) - 1 / plan.shape[1]).abs().sum(1).max())


@dataclass
class Contender:
    """A solver and its measurements."""

    name: str
    solve: Solver
    times: list[float] = field(default_factory=list)
    plan: Tensor = field(default_factory=lambda: torch.empty(0))
    iterations: str = ""

    def run(self, cost: Tensor) -> None:
        synchronise(cost)
        start = time.perf_counter()
        self.plan, self.iterations = self.solve(cost)
        synchronise(cost)
        self.times.append(time.perf_counter() - start)


def synchronise(cost: Tensor) -> None:
    if cost.is_cuda:
        torch.cuda.synchronize()


def contenders(cost: Tensor) -> list[Contender]:
    found = [Contender("vidfold, Triton", ours("triton"))] if cost.is_cuda else []
    found += [
        Contender("vidfold, torch", ours("torch")),
        Contender("plain loop", plain),
        Contender("POT, log domain", pot("log_sinkhorn", cost)),
    ]
    if not cost.is_cuda:
        # POT computes its scalings on the CPU, even for costs on a GPU.
        found.append(Contender("POT, scalings", pot("sinkhorn", cost)))
    return found


def compare(size: tuple[int, int, int], device: str, runs: int) -> str:
    cost = costs(*size, device)
    optimum, _ = plain_iterations((-cost.double() / EPSILON).exp(), 1e-9)
    solvers = contenders(cost)
    for each in solvers:
        each.solve(cost)
    for _ in range(runs):
        for each in solvers:
            if sum(each.times) < SECONDS:
                each.run(cost)
    best = statistics.median(solvers[0].times)
    rows: list[tuple[str, ...]] = [
        ("solver", "ms", "fastest to slowest", "runs", "ratio", "iterations", "worst L1 error", "to the optimum")
    ]
    for each in solvers:
        median, low, high = (1000 * pick(each.times) for pick in (statistics.median, min, max))
        distance = float((each.plan.double() - optimum).abs().sum((1, 2)).max())
        rows.append(
            (
                each.name,
                f"{median:.2f}",
                f"{low:.2f} to {high:.2f}",
                str(len(each.times)),
                f"{median / 1000 / best:.1f}",
                each.iterations,
                f"{worst_error(each.plan):.1e}",
                f"{distance:.1e}",
            )
        )
    return table(rows)


def machine(device: str) -> str:
    """Versions, processor and threads."""
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    if device.startswith("cuda"):
        processor = f"{torch.cuda.get_device_name(device)}, {processor}"
    return (
        f"vidfold {__version__}, torch {torch.__version__}, Triton {triton}, POT {ot.__version__}, "
        f"Python {platform.python_version()}\n{processor}, {torch.get_num_threads()} thread(s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lab.transport", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--runs", type=int, default=9, help="runs per solver after the warm-up (default: 9)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(options.device))
    for size in SIZES:
        batch, rows, columns = size
        print(f"\n{batch} problems of {rows}x{columns}, {options.device}\n")
        print(compare(size, options.device, options.runs))


if __name__ == "__main__":
    main()

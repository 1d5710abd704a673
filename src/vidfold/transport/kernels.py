"""The solver of `vidfold.transport.sinkhorn` as one fused Triton kernel: one program a problem, start to end.

An iteration is one pass over the kernel matrix: what a row's scaling becomes depends on the column scalings and on
that row alone, so a tile of rows is read once, scaled, and added to the column sums. The column scalings never leave
the registers. The matrix is computed once from the costs into the memory of the plan, from where every iteration reads
it (a problem of 603 x 126 takes 300 kB, so it stays in the GPU's cache); a problem of one tile stays in registers.
Each program runs until its own problem has converged. Importing this module imports Triton.
"""

# Triton's language has no types that a checker could follow.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidfold.transport.scaling import LEAST_SCALING, MOST_LOG_SCALING, MOST_RELAXED, MOST_SCALING, PLAIN_STEPS, TINY

_TILE = 8192
"""Entries of the largest tile; with twice as many, threads spill from their registers to memory."""

_LEAST = tl.constexpr(LEAST_SCALING)
_MOST = tl.constexpr(MOST_SCALING)
_MOST_LOG = tl.constexpr(MOST_LOG_SCALING)
_MOST_EXTRA = tl.constexpr(MOST_RELAXED - 1)
_PLAIN = tl.constexpr(PLAIN_STEPS)
_TINY = tl.constexpr(TINY)


def launch_shape(rows: int, columns: int) -> tuple[int, int, int]:
    """Tile rows, tile columns and warps for problems of a size.

    A tile holds whole rows, padded to powers of two, and grows until it holds the problem or 8192 entries. A warp
    takes 1024 entries of a small tile, since few warps need not wait for one another, and 512 of a larger one.
    """
    tile_columns = max(16, triton.next_power_of_2(columns))
    tile_rows = min(triton.next_power_of_2(rows), _TILE // tile_columns)
    entries = tile_rows * tile_columns
    return tile_rows, tile_columns, max(1, entries // (1024 if entries < _TILE else 512))


@triton.jit
def _bounded(x, least, most):
    # Comparisons that a NaN fails, so that it passes through.
    x = tl.where(x < least, least, x)
    return tl.where(x > most, most, x)


@triton.jit
def _scaled(mass, sums, old, extra, LOG: tl.constexpr):
    """The scaling that meets the marginal, moved beyond it by ``extra`` as seen from the old one."""
    if LOG:
        target = tl.where(mass > 0, tl.log(mass) - sums, -_MOST_LOG)
        target = _bounded(target, -_MOST_LOG, _MOST_LOG)
        return _bounded(target + extra * (target - old), -_MOST_LOG, _MOST_LOG)
    target = mass / (sums + _TINY)
    moved = _bounded(target / old, _LEAST, _MOST)
    return _bounded(target * tl.exp2(extra * tl.log2(moved)), _LEAST, _MOST)


@triton.jit
def _missed(mass, scaling, sums, LOG: tl.constexpr):
    """L1 distance of the plan's sums to the marginal."""
    if LOG:
        return tl.sum(tl.abs(tl.exp(scaling + sums) - mass), 0)
    return tl.sum(tl.abs(scaling * sums - mass), 0)


@triton.jit
def _row_sums(tile, v, LOG: tl.constexpr):
    """K v of a tile of rows, or its logarithm."""
    if LOG:
        terms = tile + v[None, :]
        peak = tl.max(terms, 1)
        peak = tl.where(peak == -float("inf"), 0.0, peak)
        return peak + tl.log(tl.sum(tl.exp(terms - peak[:, None]), 1))
    return tl.sum(tile * v[None, :], 1)


@triton.jit
def _add_rows(tile, u, peak, total, LOG: tl.constexpr):
    """K'u of the rows so far and of another tile; of logarithms its largest term and the sum relative to that."""
    if LOG:
        terms = tile + u[:, None]
        higher = tl.maximum(peak, tl.max(terms, 0))
        base = tl.where(higher == -float("inf"), 0.0, higher)
        return higher, total * tl.exp(peak - base) + tl.sum(tl.exp(terms - base[None, :]), 0)
    return peak, total + tl.sum(tile * u[:, None], 0)


@triton.jit
def _column_sums(peak, total, LOG: tl.constexpr):
    """K'u, or its logarithm, of all rows."""
    if LOG:
        return tl.where(peak == -float("inf"), 0.0, peak) + tl.log(total)
    return total


@triton.jit
def _kernel_tile(
    costs, row_mass, has_column, row, column, rows, columns, row_stride, column_stride, scale,
    LOG: tl.constexpr,
):  # fmt: skip
    """exp(-C / epsilon) of a tile of rows, or its logarithm, seen from each row's best pair; 0 where a mass is 0."""
    inside = row < rows
    present = (inside & (tl.load(row_mass + row, inside, 0.0) > 0))[:, None] & has_column[None, :]
    offsets = row.to(tl.int64)[:, None] * row_stride + column.to(tl.int64)[None, :] * column_stride
    cost = tl.load(costs + offsets, present, 0.0).to(tl.float32)
    exponent = tl.where(present, cost * scale, -float("inf"))
    best = tl.max(exponent, 1)
    exponent = exponent - tl.where(best == -float("inf"), 0.0, best)[:, None]
    if LOG:
        return exponent
    return tl.exp(exponent)


@triton.jit
def _solve_problem(
    cost, row_mass, column_mass, plan, row_scaling, error_of, steps_of,
    rows, columns, problem_stride, row_stride, column_stride,
    scale, tolerance, extra, iterations,
    LOG: tl.constexpr, AUTO: tl.constexpr, ONE_TILE: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
):  # fmt: skip
    problem = tl.program_id(0).to(tl.int64)
    cost += problem * problem_stride
    row_mass += problem * rows
    row_scaling += problem * rows
    plan += problem * rows * columns
    column = tl.arange(0, TILE_COLUMNS)
    first = tl.arange(0, TILE_ROWS)
    nothing = -float("inf") if LOG else 0.0
    b = tl.load(column_mass + problem * columns + column, column < columns, 0.0)
    u = tl.full((TILE_ROWS,), 0.0 if LOG else 1.0, tl.float32)
    v = tl.full((TILE_COLUMNS,), 0.0 if LOG else 1.0, tl.float32)

    tile = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    mass = 0.0
    for start in range(0, rows, TILE_ROWS):
        row = start + first
        mass += tl.sum(tl.load(row_mass + row, row < rows, 0.0), 0)
        tile = _kernel_tile(cost, row_mass, b > 0, row, column, rows, columns, row_stride, column_stride, scale, LOG)
        if not ONE_TILE:
            inside = (row < rows)[:, None] & (column < columns)[None, :]
            tl.store(plan + row[:, None] * columns + column[None, :], tile, inside)
            tl.store(row_scaling + row, u, row < rows)
    # From here on everything is a share of the mass.
    share = 1 / tl.where(mass > 0, mass, 1.0)
    b *= share
    # What one pass stores the next one loads, perhaps in other threads.
    tl.debug_barrier()

    last = tl.full((), float("inf"), tl.float32)
    rate = mass * 0.0 + extra
    step = 0
    running = mass > 0
    while running:
        # The first u comes from nowhere, so it cannot be moved beyond its target.
        row_rate = tl.where(step > 0, rate, 0.0)
        missed = 0.0
        peak = tl.full((TILE_COLUMNS,), -float("inf"), tl.float32)
        total = tl.zeros((TILE_COLUMNS,), tl.float32)
        if ONE_TILE:
            a = tl.load(row_mass + first, first < rows, 0.0) * share
            sums = _row_sums(tile, v, LOG)
            u = _scaled(a, sums, u, row_rate, LOG)
            missed = _missed(a, u, sums, LOG)
            peak, total = _add_rows(tile, u, peak, total, LOG)
        else:
            for start in range(0, rows, TILE_ROWS):
                row = start + first
                inside = (row < rows)[:, None] & (column < columns)[None, :]
                part = tl.load(plan + row[:, None] * columns + column[None, :], inside, nothing)
                a = tl.load(row_mass + row, row < rows, 0.0) * share
                old = tl.load(row_scaling + row, row < rows, 1.0)
                sums = _row_sums(part, v, LOG)
                new = _scaled(a, sums, old, row_rate, LOG)
                missed += _missed(a, new, sums, LOG)
                tl.store(row_scaling + row, new, row < rows)
                peak, total = _add_rows(part, new, peak, total, LOG)
            tl.debug_barrier()
        column_sums = _column_sums(peak, total, LOG)
        error = _missed(b, v, column_sums, LOG)
        step += 1
        # A NaN does not go on.
        running = (error + tl.where(row_rate > 0, missed, 0.0) > tolerance) & (step < iterations)
        slower = tl.where(error <= 2 * last, rate, 0.0)
        if AUTO:
            contraction = tl.minimum(error / last, 1.0)
            best = tl.minimum(2 / (1 + tl.sqrt(1 - contraction)) - 1, _MOST_EXTRA)
            slower = tl.where(step == _PLAIN + 1, best, slower)
        rate = slower
        last = error
        v = _scaled(b, column_sums, v, tl.where(running, rate, 0.0), LOG)

    missed = 0.0
    for start in range(0, rows, TILE_ROWS):
        row = start + first
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        if not ONE_TILE:
            tile = tl.load(plan + row[:, None] * columns + column[None, :], inside, nothing)
            u = tl.load(row_scaling + row, row < rows, 1.0)
        if LOG:
            moved = tl.exp(tile + u[:, None] + v[None, :])
        else:
            moved = tile * u[:, None] * v[None, :]
        a = tl.load(row_mass + row, row < rows, 0.0) * share
        missed += tl.sum(tl.abs(tl.sum(moved, 1) - a), 0)
        tl.store(plan + row[:, None] * columns + column[None, :], moved * mass, inside)
    tl.store(error_of + problem, missed)
    tl.store(steps_of + problem, step)


INTERPRETED = not isinstance(_solve_problem, triton.JITFunction)
"""Whether Triton's interpreter runs the kernel, on tensors of any device."""


@torch.library.custom_op("vidfold::sinkhorn", mutates_args=())
def solve(
    cost: Tensor,
    row_mass: Tensor,
    column_mass: Tensor,
    epsilon: float,
    log_domain: bool,
    iterations: int,
    tolerance: float,
    relaxation: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `vidfold.transport.scaling.solve`; an operator of its own, which torch.compile takes as it is."""
    batch, rows, columns = cost.shape
    plan, error, used = _outputs(cost)
    row_mass, column_mass = row_mass.contiguous(), column_mass.contiguous()
    tile_rows, tile_columns, warps = launch_shape(rows, columns)
    with torch.cuda.device_of(cost):
        _solve_problem[(batch,)](
            cost, row_mass, column_mass, plan, torch.empty_like(row_mass), error, used,
            rows, columns, *cost.stride(),
            -1 / epsilon, tolerance, (relaxation or 1) - 1, iterations,
            LOG=log_domain, AUTO=relaxation is None, ONE_TILE=tile_rows >= rows,
            TILE_ROWS=tile_rows, TILE_COLUMNS=tile_columns, num_warps=warps,
        )  # fmt: skip
    return plan, error, used


@solve.register_fake
def _outputs(cost: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    batch = cost.shape[0]
    plan = torch.empty(cost.shape, dtype=torch.float32, device=cost.device)
    return plan, plan.new_empty(batch), plan.new_empty(batch, dtype=torch.int64)

"""The solver of `vidfold.transport.sinkhorn` in plain torch, for any device."""

import math

import torch
from torch import Tensor

PLAIN_STEPS = 4
"""Plain iterations before a problem's contraction is read off its errors."""
MOST_RELAXED = 1.5
"""Beyond this rate the iteration may not converge."""
LEAST_SCALING, MOST_SCALING = 1e-37, 1e33
"""Bounds of a scaling: a row without mass lies at the lower one, one without any allowed pair at the upper one."""
MOST_LOG_SCALING = 1e30
"""The same for the absolute value of a scaling's logarithm."""
TINY = torch.finfo(torch.float32).tiny
"""Added to sums that may be 0; too little to count even times the largest scaling."""
_IDLE = 0.4
"""Share of stopped problems from which the others are copied together; a copy costs as much as an iteration."""


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
    """Plan (B, M, N), error (B,) and iterations (B,) of a valid batch, with marginals (B, M) and (B, N) float32."""
    # Only on a CPU does the host look at results on the way: a GPU would be kept waiting, a traced tensor has none.
    looks = type(cost) is Tensor and cost.device.type == "cpu" and not torch.compiler.is_compiling()
    mass = row_mass.sum(1)[:, None, None]
    # From here on everything is a share of the mass.
    share = 1 / torch.where(mass > 0, mass, 1.0)
    a, b = row_mass[:, None, :] * share, column_mass[:, None, :] * share
    kernel: Kernel = (LogKernel if log_domain else ScalingKernel).of(cost, epsilon, a, b, looks=looks)
    found = _iterate(kernel, a, b, iterations, tolerance, relaxation, looks=looks)
    plan = kernel.plan(found.u, found.v, mass)
    error = (plan.sum(2) - row_mass).abs_().sum(1) * share[:, 0, 0]
    return plan, error, (found.used * (mass > 0))[:, 0, 0]


class ScalingKernel:
    """K = exp(-C / epsilon), each row scaled to sum 1 and 0 without mass: two matrix-vector products an iteration.

    The scale of a row is an exact invariance of the problem. Vectors are (B, 1, M) and (B, 1, N) throughout, since
    CPU libraries are several times faster with the vector on the left of a product.
    """

    def __init__(self, kernel: Tensor) -> None:
        self.kernel, self._transposed = kernel, kernel.transpose(1, 2)
        self._floor = kernel.new_full((1, 1, 1), TINY)

    @classmethod
    def of(cls, cost: Tensor, epsilon: float, a: Tensor, b: Tensor, *, looks: bool) -> "ScalingKernel":
        """The kernel of costs (B, M, N)."""
        exponent = cost.float() * (-1 / epsilon)
        if looks:
            if not bool(b.all()):
                exponent += b.sign().log()
            kernel = exponent.softmax(2)
            if not bool(a.all()):
                # A scaling of almost nothing times K would be a subnormal number, which CPUs are slow to multiply.
                kernel *= a.sign().transpose(1, 2)
            # One entry of each row shows it: a row of forbidden pairs, or a cost that is no number, has none.
            if math.isfinite(kernel[:, :, 0].sum()):
                return cls(kernel)
        exponent, silent = _silenced(exponent, a, b)
        return cls(exponent.softmax(2).masked_fill(silent, 0))

    def take(self, problems: Tensor) -> "ScalingKernel":
        """The kernel of some problems of the batch."""
        return ScalingKernel(self.kernel[problems])

    def rows(self, v: Tensor) -> Tensor:
        """K v, (B, 1, M)."""
        return torch.baddbmm(self._floor, v, self._transposed)

    def columns(self, u: Tensor) -> Tensor:
        """K'u, (B, 1, N)."""
        return torch.baddbmm(self._floor, u, self.kernel)

    def start(self, mass: Tensor) -> Tensor:
        """The scaling 1."""
        return torch.ones_like(mass)

    def scaled(self, mass: Tensor, sums: Tensor, old: Tensor, extra: Tensor | None) -> Tensor:
        """The scaling that meets the marginal; with ``extra`` = rate - 1 moved beyond it, seen from the old one."""
        target = mass / sums
        if extra is not None:
            target *= (target / old).pow_(extra)
        return target.clamp_(LEAST_SCALING, MOST_SCALING)

    def missed(self, mass: Tensor, scaling: Tensor, sums: Tensor) -> Tensor:
        """L1 distance (B, 1, 1) of the plan's sums to the marginal."""
        return (scaling * sums).sub_(mass).abs_().sum(2, keepdim=True)

    def plan(self, u: Tensor, v: Tensor, mass: Tensor) -> Tensor:
        """diag(u) K diag(v) times the mass, written over K."""
        return self.kernel.mul_((u * mass).transpose(1, 2)).mul_(v)


class LogKernel:
    """The same with -C / epsilon, the logarithms of scalings and log-sum-exp, for where K would underflow."""

    def __init__(self, exponent: Tensor) -> None:
        self.exponent = exponent

    @classmethod
    def of(cls, cost: Tensor, epsilon: float, a: Tensor, b: Tensor, *, looks: bool) -> "LogKernel":
        """The kernel of costs (B, M, N)."""
        exponent, silent = _silenced(cost.float() * (-1 / epsilon), a, b)
        # Seen from each row's best pair: again an exact invariance, and small numbers are the more precise.
        return cls((exponent - exponent.amax(2, keepdim=True)).masked_fill(silent, -torch.inf))

    def take(self, problems: Tensor) -> "LogKernel":
        """The kernel of some problems of the batch."""
        return LogKernel(self.exponent[problems])

    def rows(self, v: Tensor) -> Tensor:
        """log(K v), (B, 1, M)."""
        return (self.exponent + v).logsumexp(2)[:, None, :]

    def columns(self, u: Tensor) -> Tensor:
        """log(K'u), (B, 1, N)."""
        return (self.exponent + u.transpose(1, 2)).logsumexp(1)[:, None, :]

    def start(self, mass: Tensor) -> Tensor:
        """The logarithm of the scaling 1."""
        return torch.zeros_like(mass)

    def scaled(self, mass: Tensor, sums: Tensor, old: Tensor, extra: Tensor | None) -> Tensor:
        """As for scalings, of logarithms."""
        target = torch.where(mass > 0, mass.log() - sums, -torch.inf).clamp_(-MOST_LOG_SCALING, MOST_LOG_SCALING)
        if extra is not None:
            target = (target + extra * (target - old)).clamp_(-MOST_LOG_SCALING, MOST_LOG_SCALING)
        return target

    def missed(self, mass: Tensor, scaling: Tensor, sums: Tensor) -> Tensor:
        """As for scalings, of logarithms."""
        return (scaling + sums).exp_().sub_(mass).abs_().sum(2, keepdim=True)

    def plan(self, u: Tensor, v: Tensor, mass: Tensor) -> Tensor:
        """As for scalings, of logarithms."""
        return (self.exponent + (u + mass.log()).transpose(1, 2)).add_(v).exp_()


Kernel = ScalingKernel | LogKernel


class _Found:
    """Scalings u (B, 1, M) and v (B, 1, N), and iterations used (B, 1, 1), of the problems that have stopped.

    ``places`` (b,) says which problems of the batch are still worked on; where the host does not look, it is None, and
    all of them are to the end.
    """

    def __init__(self, a: Tensor, b: Tensor, *, looks: bool) -> None:
        self.u, self.v = torch.ones_like(a), torch.ones_like(b)
        self.used = torch.zeros_like(a[:, :, :1], dtype=torch.int64)
        self.places = torch.arange(len(a)) if looks else None

    def store(self, stops: Tensor, u: Tensor, v: Tensor, used: int) -> None:
        """Keep u and v of the problems that stop (b, 1, 1)."""
        places = slice(None) if self.places is None else self.places
        for kept, new in ((self.u, u), (self.v, v), (self.used, used)):
            kept[places] = torch.where(stops, new, kept[places])


def _iterate(
    kernel: Kernel, a: Tensor, b: Tensor, iterations: int, tolerance: float, relaxation: float | None, *, looks: bool
) -> _Found:
    found = _Found(a, b, looks=looks)
    u, v = kernel.start(a), kernel.start(b)
    last = torch.full_like(a[:, :, :1], torch.inf)
    idle = torch.zeros_like(last, dtype=torch.bool)
    extra = None if relaxation in (None, 1) else torch.full_like(last, relaxation - 1)
    for step in range(iterations):
        # The first u comes from nowhere, so it cannot be moved beyond its target.
        relaxed = extra if step else None
        row_sums = kernel.rows(v)
        u = kernel.scaled(a, row_sums, u, relaxed)
        column_sums = kernel.columns(u)
        error = kernel.missed(b, v, column_sums)
        if relaxation is None and step == PLAIN_STEPS:
            contraction = (error / last).clamp_(0, 1)
            extra = (2 / (1 + (1 - contraction).sqrt()) - 1).clamp_max_(MOST_RELAXED - 1)
        elif extra is not None:
            extra = extra * (error <= 2 * last)
        last = error
        v, before = kernel.scaled(b, column_sums, v, extra), v
        ends = step + 1 == iterations
        # To meet the columns would at most hand their error on to the rows. A relaxed u has missed those as well.
        bound = error.masked_fill(idle, torch.inf)
        if looks and not ends and float(bound.amin()) > tolerance:
            continue
        if relaxed is not None:
            bound = bound + kernel.missed(a, u, row_sums)
        # What is no number stops as well.
        stops = ~idle if ends else ~(idle | (bound > tolerance))
        found.store(stops, u, kernel.scaled(b, column_sums, before, None), step + 1)
        idle = idle | stops
        if found.places is None:
            continue
        share = float(idle.float().mean())
        if share == 1:
            break
        if share >= _IDLE:
            left = (~idle).flatten().nonzero()[:, 0]
            kernel, found.places = kernel.take(left), found.places[left]
            a, b, u, v, last, idle = (state[left] for state in (a, b, u, v, last, idle))
            extra = None if extra is None else extra[left]
    return found


def _silenced(exponent: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Exponents (B, M, N) without the columns that have no mass, and the rows (B, M, 1) that can send nothing."""
    exponent = exponent.masked_fill(b == 0, -torch.inf)
    return exponent, (exponent == -torch.inf).all(2, keepdim=True) | (a == 0).transpose(1, 2)

"""AOT with one step replaced, for its ablation: what `lab/aot.py` compares with the default.

A variant is a subclass of `vidfold.AOT` that overrides a step. The default was chosen over all of them
(`benchmarks/aot.md`), so they are no part of the package.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from vidfold import AOT, VideoTokens
from vidfold.clips import Clips
from vidfold.ops import cover
from vidfold.ops.ranks import descending_rank, first_true, local_and_global
from vidfold.reducers.aot import phases
from vidfold.reducers.aot.method import POWER, PRICE
from vidfold.reducers.aot.phases import Candidates, Support
from vidfold.reducers.base import given
from vidfold.transport import partial, sinkhorn

_ROUNDS, _CAPACITY = 10, 0.1
_TINY = 1e-12


@dataclass(frozen=True)
class AttentionAnchors(AOT):
    """Candidates by attention: half local ones, half global ones, as in the paper."""

    needs = frozenset({"shallow", "deep"})

    def choose(self, tokens: VideoTokens, frames: slice, cost: Tensor, weight: Tensor, count: int) -> Tensor:
        shallow, deep = given(tokens, "shallow", frames), given(tokens, "deep", frames)
        total = torch.full((len(cost),), count, device=cost.device)
        return first_true(local_and_global(shallow, deep, tokens.language_grid, total // 2, total), count)


@dataclass(frozen=True)
class AttentionSupport(AttentionAnchors):
    """Candidates by attention, and of these the most attended ones as the support."""

    attention_power: float = 1.0

    def cover(self, cost: Tensor, weight: Tensor, present: Tensor, count: int) -> Tensor:
        return weight.masked_fill(~present, -torch.inf).topk(count, 1).indices

    def _support(self, found: Candidates, clips: Clips, total: int) -> Support:
        return super()._support(replace(found, mass=torch.ones_like(found.mass)), clips, total)


@dataclass(frozen=True)
class Farthest(AOT):
    """The support by farthest point."""

    def cover(self, cost: Tensor, weight: Tensor, present: Tensor, count: int) -> Tensor:
        return cover.farthest(cost, weight, present, count)[0]


@dataclass(frozen=True)
class Power(AOT):
    """Another exponent of the cost in the facility location."""

    power: float = 1.0

    def cover(self, cost: Tensor, weight: Tensor, present: Tensor, count: int) -> Tensor:
        return cover.facility(cost**self.power, weight, present, count)[0]


@dataclass(frozen=True)
class TimeCost(AOT):
    """Tokens a clip apart cost ``time_cost`` more, in proportion, where the support is chosen."""

    time_cost: float = 0.5
    frames: int = 1

    def cover(self, cost: Tensor, weight: Tensor, present: Tensor, count: int) -> Tensor:
        time = torch.arange(self.frames, device=cost.device).repeat_interleave(cost.shape[1] // self.frames)
        apart = self.time_cost / self.frames * (time[:, None] - time).abs()
        return super().cover(cost + apart, weight, present, count)

    def _support(self, found: Candidates, clips: Clips, total: int) -> Support:
        return AOT._support(replace(self, frames=clips.longest), found, clips, total)


@dataclass(frozen=True)
class Nearest(AOT):
    """Each token sends all its mass to the nearest receiver under the cap."""

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        allowed = (cost <= cap) & receivers[:, None, :]
        best = cost.masked_fill(~allowed, torch.inf).argmin(2)
        return functional.one_hot(best, cost.shape[2]) * allowed * mass[:, :, None]


@dataclass(frozen=True)
class NearestAttention(Nearest, AttentionSupport):
    """Everything by attention, and each token to its nearest anchor."""

    attention_power: float = 1.0


@dataclass(frozen=True)
class Balanced(AOT):
    """Balanced transport: every receiver takes an even load, as in the paper; pairs over the cap move nothing."""

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        total = mass.sum(1, keepdim=True)
        takes = receivers / receivers.sum(1, keepdim=True).clamp_min(1)
        moves = (total > 0) & receivers.any(1, keepdim=True)
        rows = mass / total.clamp_min(_TINY) * moves
        plan = sinkhorn(cost, rows, takes * moves, epsilon=self.epsilon, span=None).plan
        return plan * total[:, :, None] * (cost <= cap)


@dataclass(frozen=True)
class Unbalanced(AOT):
    """Receivers take more than the even load at a price: partial transport with a toll, found in ten rounds."""

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        even = mass.sum(1)[:, None, None] / receivers.sum(1).clamp_min(1)[:, None, None]
        dear = (cost > cap) | ~receivers[:, None, :]
        toll = torch.zeros_like(cost[:, :1])
        for _ in range(_ROUNDS):
            load = self._tolled(cost, toll, mass, receivers, dear).sum(1, keepdim=True)
            excess = (load.clamp_min(_TINY) / even.clamp_min(_TINY)).log()
            toll = (toll + self.epsilon * _CAPACITY / (_CAPACITY + self.epsilon) * excess).clamp_min(0)
        return self._tolled(cost, toll, mass, receivers, dear)

    def _tolled(self, cost: Tensor, toll: Tensor, mass: Tensor, receivers: Tensor, dear: Tensor) -> Tensor:
        priced = (cost + toll).masked_fill(dear, torch.inf)
        return partial(priced, mass, receivers, epsilon=self.epsilon, price=PRICE, cap=torch.finfo(cost.dtype).max).plan


@dataclass(frozen=True)
class Price(AOT):
    """Another price of a unit of mass that is not moved."""

    price: float = 0.7

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        return partial(cost, mass, receivers, epsilon=self.epsilon, price=self.price, cap=cap).plan


@dataclass(frozen=True)
class Half(AOT):
    """An absorbed token brings half its mass."""

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        return super().send(cost, mass, receivers, cap) / 2


@dataclass(frozen=True)
class Massless(AOT):
    """A candidate weighs 1, whatever it has absorbed."""

    def _candidates(self, tokens: VideoTokens, total: int, weights: bool) -> Candidates:
        found = super()._candidates(tokens, total, weights)
        return replace(found, mass=torch.ones_like(found.mass))


@dataclass(frozen=True)
class Novelty(AOT):
    """Clips share the budget by what each token gains, in place of evenly."""

    def _support(self, found: Candidates, clips: Clips, total: int) -> Support:
        wide = super()._support(found, clips, 3 * total)
        present = phases.rows_there(clips, found.cells.shape[1])
        nearest = wide.columns.pow(POWER).cummin(2).values
        weight = clips.rows(found.mass * found.weight) * present
        gain = functional.pad((weight[:, None] @ -nearest.diff(dim=2))[:, 0], (1, 0), value=torch.inf)
        place = torch.arange(gain.shape[1], device=gain.device)
        gain = gain.masked_fill(place >= present.sum(1, keepdim=True), -torch.inf)
        return replace(wide, take=(descending_rank(gain.flatten()) < total).view_as(gain))


@dataclass(frozen=True)
class Double(AOT):
    """Half as many anchors, each given twice: merged, and as it was before phase II (authors' program)."""

    def _support(self, found: Candidates, clips: Clips, total: int) -> Support:
        once = super()._support(found, clips, total)
        place, share = torch.arange(once.order.shape[1], device=once.order.device), clips.shares(total)[:, None]
        merged = place < -(-share // 2)
        return Support(
            order=torch.cat([once.order, once.order], dim=1),
            # Nothing is sent to the second one.
            columns=torch.cat([once.columns, torch.full_like(once.columns, torch.inf)], dim=2),
            take=torch.cat([merged, place < share // 2], dim=1),
        )

"""AOT with one step replaced, for its ablation: what `lab.aot` compares with the default.

A variant is a subclass of `vidfold.AOT` that overrides a step. The default was chosen over all of them
(`benchmarks/aot.md`), so they are no part of the package.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold import AOT
from vidfold.ops import cover
from vidfold.ops.quantise import quantise
from vidfold.ops.ranks import gather_rows
from vidfold.reducers.aot.method import COARSE

PLACES = 6
"""Channels that tell time and place (`vidfold.ops.locality`)."""


@dataclass(frozen=True)
class Chosen(AOT):
    """Anchors are tokens chosen one by one, and do not move."""

    def assign(self, units: Tensor, present: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
        cost = (1 - units @ units.transpose(1, 2)).clamp_min(0)
        order = self.choose(cost, present, most)
        slot = torch.arange(most).expand_as(order)
        dead = slot >= counts[:, None]
        best = (units @ gather_rows(units, order).transpose(1, 2)).masked_fill(dead[:, None], -torch.inf).max(2)
        # A chosen token is its own anchor, whatever rounding says. One place more takes what is no anchor.
        own = order.masked_fill(dead, units.shape[1])
        labels = functional.pad(best.indices, (0, 1)).scatter_(1, own, slot)[:, :-1]
        near = functional.pad(best.values, (0, 1)).scatter_(1, own, torch.inf)[:, :-1]
        return labels, near.masked_fill(~present, -torch.inf)

    def choose(self, cost: Tensor, present: Tensor, most: int) -> Tensor:
        """Evenly spread over cells and frames."""
        return torch.arange(most) * (present.sum(1, keepdim=True) - 1) // max(1, most - 1)


@dataclass(frozen=True)
class Farthest(Chosen):
    """Each time the token farthest from those chosen."""

    def choose(self, cost: Tensor, present: Tensor, most: int) -> Tensor:
        return cover.farthest(cost, torch.ones_like(cost[:, 0]), present, most)[0]


@dataclass(frozen=True)
class Facility(Chosen):
    """Each time the token that lowers the cost of all most (greedy facility location)."""

    power: float = 2.0

    def choose(self, cost: Tensor, present: Tensor, most: int) -> Tensor:
        return cover.facility(cost**self.power, torch.ones_like(cost[:, 0]), present, most)[0]


@dataclass(frozen=True)
class Fine(AOT):
    """Tokens are compared in all channels of the sketch from the first round on."""

    def assign(self, units: Tensor, present: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
        return quantise(units, present, counts, most, self.rounds)


@dataclass(frozen=True)
class Staying(AOT):
    """Anchors move to the barycentres of their tokens only, not to other tokens (Lloyd 1982)."""

    def assign(self, units: Tensor, present: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
        return quantise(units, present, counts, most, self.rounds, coarse=COARSE, moved=0.0)


@dataclass(frozen=True)
class Freed(AOT):
    """In the last ``freed`` assignments time and place cost nothing: tokens go to the mean that looks most alike."""

    freed: int = 1

    def assign(self, units: Tensor, present: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
        labels, near = super().assign(units, present, counts, most)
        looks = functional.normalize(units[:, :, :-PLACES], dim=2)
        # One anchor more takes the padding.
        labels = labels.masked_fill(~present, most)
        dead = torch.arange(most + 1, device=units.device) >= counts[:, None]
        for _ in range(self.freed):
            means = functional.normalize(
                looks.new_zeros(len(looks), most + 1, looks.shape[2]).scatter_add_(
                    1, labels[:, :, None].expand_as(looks), looks
                ),
                dim=2,
            )
            cosine = looks @ means.transpose(1, 2)
            own = cosine.gather(2, labels[:, :, None])[:, :, 0]
            most_alike = own.new_full((len(own), most + 1), -torch.inf).scatter_reduce_(1, labels, own, "amax")
            # The token nearest to its mean stays, so that no anchor is left without one.
            stays = (own >= most_alike.gather(1, labels)) | ~present
            best = cosine.masked_fill(dead[:, None], -torch.inf).max(2)
            labels, near = torch.where(stays, labels, best.indices), torch.where(stays, own, best.values)
        return labels.clamp_max(most - 1), near.masked_fill(~present, -torch.inf)

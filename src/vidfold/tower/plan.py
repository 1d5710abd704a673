"""Which units of which frames a vision tower computes, decided from pixels alone: the contract of tower methods."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from vidfold.checks import Settings


@dataclass(frozen=True, eq=False)
class Plan:
    """What is computed of one video of F frames with N units each.

    A unit is what a tower computes as a whole: a patch, or the patches that it merges into one token.

    Attributes:
        source: (F, N) int64 on the host, the frame whose unit at this place stands here. It is no later one, and it
            stands for itself; where it is the frame itself, the unit is computed.
        checked: (C,) int64, frames that are computed whole besides, for a look at what the others miss.
    """

    source: Tensor
    checked: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    @classmethod
    def of(cls, computed: Tensor) -> "Plan":
        """The plan where each unit (F, N) bool that is not computed is the latest one that is; frame 0 is whole."""
        frames = torch.arange(len(computed))[:, None]
        return cls(torch.where(computed, frames, 0).cummax(0).values)

    @property
    def computed(self) -> Tensor:
        """(F, N) bool, the units that are computed."""
        return self.source == torch.arange(len(self.source))[:, None]

    @property
    def computed_units(self) -> int:
        """How many units are computed, those of checked frames too."""
        return int(self.computed.sum()) + self.checked.numel() * self.source.shape[1]

    @property
    def share(self) -> float:
        """Share of the F * N units that is computed."""
        return self.computed_units / self.source.numel()


@dataclass(frozen=True)
class TowerMethod(Settings, ABC):
    """What decides which units of a video a vision tower computes; its fields are its only configuration."""

    name: ClassVar[str]
    """Its name in the registry and on the command line."""
    idea: ClassVar[str]
    """One line on what it does."""

    @property
    def bound(self) -> float | None:
        """How far features of checked frames may be from the whole tower's, as 1 - mean cosine; None: any distance."""
        return None

    @abstractmethod
    def plan(self, pixels: Tensor) -> Plan:
        """Decide for one video.

        Args:
            pixels: (F, N, P) float, the P values of every unit in brightness: white is 1 above black.
        """


def repeated(pixels: Tensor) -> Tensor:
    """The first frame that equals each frame in every value, (F,) int64 on the host, for pixels (F, ...)."""
    flat = pixels.flatten(1)
    sums = flat.sum(1, dtype=torch.float64)
    # Frames of one sum may still differ: each is compared with the first of its sum.
    first = (sums[:, None] == sums).int().argmax(1)
    equal = (flat == flat[first]).all(1)
    return torch.where(equal, first, torch.arange(len(flat), device=flat.device)).cpu()


def expanded(distinct: Plan, first: Tensor) -> Plan:
    """The plan of a video from that of its distinct frames, where ``first`` (F,) is as `repeated` gives it."""
    own = first == torch.arange(len(first))
    frames = own.nonzero()[:, 0]
    place = own.cumsum(0)[first] - 1
    return Plan(frames[distinct.source][place], frames[distinct.checked])

"""Encoding a call's videos by a tower method, and the look at what that changes."""

from dataclasses import dataclass, replace

import torch

from vidfold.models.base import PARTIAL, Family, Inputs
from vidfold.models.partial.running import Partial
from vidfold.tokens import VideoTokens
from vidfold.tower.plan import TowerMethod


@dataclass(frozen=True)
class Spent:
    """What a vision tower computed of a call's videos.

    Attributes:
        computed: units of every video that were computed, those of checked frames too.
        units: units of every video.
        drift: of checked frames, 1 - mean cosine of their features to the whole tower's; None: no frame was checked.
        whole: whether the drift was too large, so that the whole tower was run as well.
    """

    computed: tuple[int, ...]
    units: tuple[int, ...]
    drift: float | None = None
    whole: bool = False

    @property
    def share(self) -> float:
        """Units computed, as a share of all; above 1 where the whole tower was run as well."""
        return sum(self.computed) / sum(self.units) + self.whole

    def __str__(self) -> str:
        drift = "" if self.drift is None else f", drift {self.drift:.3f}"
        return f"tower {100 * self.share:.0f} %{drift}{', run whole as well' if self.whole else ''}"


def encode(
    family: Family, inputs: Inputs, needs: frozenset[str], method: TowerMethod, *, gradients: bool = False
) -> tuple[list[VideoTokens], Spent]:
    """`Family.encode` by a tower method, and what it computed.

    Raises:
        ValueError: a family or a tower that cannot compute part of it, or what `Family.encode` raises.
    """
    inputs = family.prepared(inputs)
    with torch.no_grad():
        plans = [method.plan(units) for units in family.units(inputs)]
    spent = Spent(tuple(plan.computed_units for plan in plans), tuple(plan.source.numel() for plan in plans))
    if all(bool(plan.computed.all()) for plan in plans):
        return family.encode(inputs, needs, gradients=gradients), spent
    partial = Partial(family.tower(inputs), plans, family.model.device)
    videos = family.encode({**inputs, PARTIAL: partial}, needs, gradients=gradients)
    drift = float(torch.stack(partial.drifts).mean()) if partial.drifts else None
    if drift is None or method.bound is None or drift <= method.bound:
        return videos, replace(spent, drift=drift)
    return family.encode(inputs, needs, gradients=gradients), replace(spent, drift=drift, whole=True)

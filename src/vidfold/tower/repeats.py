"""Repeats: frames that equal an earlier one cost nothing."""

from dataclasses import dataclass

from torch import Tensor

from vidfold.tower.plan import Plan, TowerMethod, repeated


@dataclass(frozen=True)
class Repeats(TowerMethod):
    """Computes every distinct frame once, whole; no feature changes.

    Frames repeat where a video is held, looped or stretched to a higher frame rate, before it is compressed again.
    """

    name = "repeats"
    idea = "computes frames that are equal in every pixel once"

    def plan(self, pixels: Tensor) -> Plan:
        """Frames that equal an earlier one are that one."""
        return Plan(repeated(pixels)[:, None].expand(pixels.shape[:2]))

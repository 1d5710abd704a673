"""What the tiny model is trained on, stage by stage, counted in clips so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidfold.tiny.scenes import seeds
from vidfold.tiny.worlds import WORLDS


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    ``trains`` says which part learns: the tower, from what each patch shows, or all that reads the frozen tower.
    Questions never teach the tower: it would spread their answers over all tokens, and dropping tokens would cost
    nothing.  ``first`` is the stage's first training seed; stages must not share seeds.  ``clips`` and ``batch``
    (clips a step) count all processes together; clips come from both worlds in turn.  Each step draws the length of
    its clips from ``frames``.  ``muon`` and ``adam`` are the learning rates of the matrices and of everything else.
    ``presence`` weighs what a vision stage asks of every patch about its whole frame, beside itself.  ``whole`` is
    the share of the steps of a language stage that read all tokens; the others read fewer, drawn by chance.
    """

    trains: Literal["vision", "language"]
    first: int
    clips: int
    batch: int
    muon: float
    adam: float
    frames: tuple[int, ...] = (4,)
    presence: float = 0.0
    whole: float = 0.4

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.clips // self.batch

    def seeds(self, step: int, rank: int, processes: int) -> list[int]:
        """Training clips of one process in one step."""
        share = self.batch // processes
        first = self.first + step * self.batch + rank * share
        return [seeds("train", 1, number, WORLDS[number % len(WORLDS)])[0] for number in range(first, first + share)]

    def length(self, step: int) -> int:
        """Frames of the clips of one step."""
        return int(np.random.default_rng((self.first, step)).choice(self.frames))


LENGTHS = (4, 8, 8, 8, 12, 16, 16, 24, 32)
RECIPE = (
    Stage("vision", first=0, clips=32_000, batch=32, muon=0.01, adam=1e-3),
    Stage("language", first=100_000_000, clips=32_000, batch=16, muon=0.015, adam=2e-3, frames=LENGTHS),
    Stage("vision", first=500_000_000, clips=16_000, batch=32, muon=0.006, adam=6e-4, presence=0.5),
    Stage("language", first=600_000_000, clips=36_000, batch=16, muon=0.015, adam=2e-3, frames=LENGTHS),
)
"""See and read; then the tower learns to look for things, so that attention tells where they are, and is read anew."""
TWIN = (
    Stage(
        "language",
        first=700_000_000,
        clips=11_000,
        batch=16,
        muon=0.012,
        adam=1.5e-3,
        frames=(4, 8, 8, 8, 12, 16, 16, 32),
        whole=1.0,
    ),
)
"""What makes the twin of a finished model: reading whole videos alone."""


def learning_rate(progress: float, step: int) -> float:
    """Share of a stage's learning rates: a short warm-up, constant, then linear down to a fiftieth."""
    warm = min(1.0, (step + 1) / 25)
    return warm * min(1.0, max(0.02, (1 - progress) / 0.55))

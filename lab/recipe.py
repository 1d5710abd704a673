"""Training stages of the tiny model, measured in clips, so that a run can be repeated."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidfold.tiny.scenes import seeds
from vidfold.tiny.worlds import WORLDS


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    ``trains`` is the trained part: the tower, on what each patch shows, or everything after the frozen tower.  The
    question loss never trains the tower: it would spread answers over all tokens, and dropping tokens would seem to
    cost nothing.  ``first`` is the stage's first training seed; stages must not share seeds.  ``clips`` and ``batch``
    (clips per step) count all processes together; clips come from both worlds in turn.  Each step draws the length
    of its clips from ``frames``.  ``muon`` and ``adam`` are the learning rates of the matrices and of everything else.
    ``presence`` is the weight of the whole-frame loss of a vision stage (`FrameReader`).  ``whole`` is the share of
    steps of a language stage that read all tokens; the others read a random selection.
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
"""Vision and language; then vision with the whole-frame loss, which makes attention salient, and language again."""
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
"""Turns a finished model into its twin: trains on whole videos only."""


def learning_rate(progress: float, step: int) -> float:
    """Factor of a stage's learning rates: a short warm-up, constant, then a linear decrease to 1/50."""
    warm = min(1.0, (step + 1) / 25)
    return warm * min(1.0, max(0.02, (1 - progress) / 0.55))

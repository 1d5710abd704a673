"""The clips of a panel, and their encoding."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from vidfold import models
from vidfold.bench.suites.reading import Asked
from vidfold.tiny.scenes import render, seeds
from vidfold.tokens import VideoTokens

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

Read = Literal["varied", "whole"]
"""What the language model read last in training: a varied share of each video, or whole videos."""


@dataclass(frozen=True)
class Case:
    """A model with clips of one world and split.

    Attributes:
        model: "varied" for the shipped model, "whole" for its twin, trained further on whole videos.
        world: world of the clips.
        split: split of the clips.
        clips: number of clips.
        frames: lengths of the clips, in turn.
        first: index of the first clip in the split.
    """

    model: Read = "varied"
    world: str = "first"
    split: str = "search"
    clips: int = 200
    frames: tuple[int, ...] = (8, 16, 32)
    first: int = 0

    def __post_init__(self) -> None:
        if self.model not in ("varied", "whole"):
            raise ValueError(f"model must be 'varied' or 'whole', got {self.model!r}")
        if self.clips < 1 or not self.frames or min(self.frames) < 1:
            raise ValueError(f"clips and frames must be at least 1, got {self.clips} and {self.frames}")
        self.members()

    def members(self) -> list[tuple[int, int]]:
        """Seed and length of every clip."""
        chosen = seeds(self.split, self.clips, self.first, self.world)
        return list(zip(chosen, itertools.cycle(self.frames), strict=False))


@dataclass(frozen=True, eq=False)
class Seen:
    """An encoded clip: its index ``place`` in the case, its tokens and its questions."""

    place: int
    seed: int
    tokens: VideoTokens
    asked: Asked


def encoded(model: LlavaOnevisionForConditionalGeneration, case: Case, needs: frozenset[str]) -> Iterator[Seen]:
    """The clips of a case, sorted by length, so that folds of equal size fill batches."""
    family = models.family(model)
    family.check_needs(needs)
    for place, (seed, frames) in sorted(enumerate(case.members()), key=lambda each: each[1][1]):
        clip = render(seed, frames)
        pixels = (torch.from_numpy(clip.frames) / 127.5 - 1).movedim(-1, 1)[None].to(model.device, model.dtype)
        (tokens,) = family.encode({"pixel_values_videos": pixels}, needs)
        yield Seen(place, seed, tokens, Asked.of(clip))

"""What comes after the tower, timed: fold, splice, prefill and further tokens, way by way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from vidfold.bench.speed.memory import Peak
from vidfold.bench.speed.results import FOLD, FOLD_ASIDE, PREFILL, SPLICE, STEP
from vidfold.bench.speed.stopwatch import Stopwatch, timed
from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.models.cache import cache_argument, cache_of
from vidfold.tokens import Reduction, VideoTokens

_T = TypeVar("_T")
Fold = Callable[[VideoTokens], Reduction]


@dataclass(frozen=True, eq=False)
class Route:
    """What one way does after the tower.

    Attributes:
        name: of the way.
        tower: how its tower runs.
        fold: folds a video; None where nothing is folded, or chosen for free.
        ready: what is spliced in where nothing is folded.
        spliced: whether splicing is part of the way; an untouched model has its own.
        aside: another form of the fold, timed beside it and no part of the way.
    """

    name: str
    tower: str
    fold: Fold | None = None
    ready: tuple[Reduction, ...] = ()
    spliced: bool = True
    aside: Fold | None = None


@dataclass(eq=False)
class Samples:
    """What was measured of one way.

    Attributes:
        tokens: read by the language model, of each video.
        positions: length of the cache after prefill.
        bytes: its memory.
        milliseconds: stage -> samples.
        memory: stage -> bytes at the peak above the level before.
        seconds: how long the last run took.
    """

    tokens: tuple[int, ...] = ()
    positions: int = 0
    bytes: int = 0
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class LanguageTimes:
    """The stages after the tower on the videos of one case.

    Attributes:
        model: the transformers model.
        family: of the model.
        inputs: the prompts.
        videos: encoded.
        new_tokens: further tokens after the first.
    """

    model: Any
    family: Family
    inputs: Inputs
    videos: Sequence[VideoTokens]
    new_tokens: int

    @torch.no_grad()
    def run(self, route: Route, samples: Samples) -> None:
        """Go a way once, and add what was measured to the samples."""
        start = time.monotonic()
        reductions = route.ready
        for stage, fold in ((FOLD_ASIDE, route.aside), (FOLD, route.fold)):
            if fold is not None:
                reductions = self._timed(stage, partial(self._folded, fold), samples)
        spliced, spent = timed(lambda: self.family.splice(self.inputs, reductions), self._device)
        if route.spliced:
            samples.milliseconds[SPLICE].append(spent)
        prefill = partial(self.model, **spliced, use_cache=True, logits_to_keep=1)
        output = self._timed(PREFILL, prefill, samples)
        cache, first = cache_of(output), output.logits[:, -1].argmax(-1, keepdim=True)
        del output
        samples.tokens = tuple(len(each) for each in reductions)
        samples.positions = int(cache.get_seq_length())
        samples.bytes = sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values))
        samples.milliseconds[STEP] += self._steps(first, cache, spliced)
        samples.seconds = time.monotonic() - start

    def _folded(self, fold: Fold) -> tuple[Reduction, ...]:
        return tuple(fold(video) for video in self.videos)

    def _steps(self, token: Tensor, cache: Any, spliced: Inputs) -> list[float]:
        """Milliseconds of each further token, greedily."""
        mask = spliced.get("attention_mask")
        mask = torch.ones_like(spliced["input_ids"]) if mask is None else mask
        # Where prompts bring positions of their own, those of the next token follow them, as in generate.
        positions = spliced.get("position_ids")
        settings: dict[str, Any] = {**cache_argument(self.model, cache), "use_cache": True, "logits_to_keep": 1}
        watch = Stopwatch(self._device)
        for _ in range(self.new_tokens):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            if positions is not None:
                settings["position_ids"] = positions = positions[..., -1:] + 1
            logits = self.model(input_ids=token, attention_mask=mask, **settings).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            watch.mark()
        return watch.laps()

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def _timed(self, stage: str, call: Callable[[], _T], samples: Samples) -> _T:
        """What the call returns; its time among the samples, and its memory the first time."""
        peak = None if stage in samples.memory else Peak(self._device)
        result, spent = timed(call, self._device)
        samples.milliseconds[stage].append(spent)
        if peak is not None:
            samples.memory[stage] = peak.above()
        return result

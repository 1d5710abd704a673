"""Time the stages after the tower: fold, splice, prefill and further tokens, for each way."""

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
    """The stages of one way after the tower.

    Attributes:
        name: name of the way.
        tower: how its tower runs.
        fold: folds a video; None if there is no fold to time.
        ready: reductions to splice in if ``fold`` is None.
        spliced: whether to count the time of splicing; an untouched model does this itself.
        aside: another form of the fold, timed as well but not part of the way.
    """

    name: str
    tower: str
    fold: Fold | None = None
    ready: tuple[Reduction, ...] = ()
    spliced: bool = True
    aside: Fold | None = None


@dataclass(eq=False)
class Samples:
    """Measurements of one way.

    Attributes:
        tokens: visual tokens that the language model reads, per video.
        positions: length of the cache after prefill.
        bytes: memory of the cache.
        milliseconds: stage -> samples.
        memory: stage -> peak bytes above the level before.
        seconds: duration of the last run.
    """

    tokens: tuple[int, ...] = ()
    positions: int = 0
    bytes: int = 0
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class LanguageTimes:
    """Times the stages after the tower for the videos of one case.

    Attributes:
        model: the transformers model.
        family: its family.
        inputs: the prompts.
        videos: the encoded videos.
        new_tokens: number of tokens after the first.
    """

    model: Any
    family: Family
    inputs: Inputs
    videos: Sequence[VideoTokens]
    new_tokens: int

    @torch.no_grad()
    def run(self, route: Route, samples: Samples) -> None:
        """Run a way once, and add the measurements to the samples."""
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
        """Milliseconds of each further token, with greedy decoding."""
        mask = spliced.get("attention_mask")
        mask = torch.ones_like(spliced["input_ids"]) if mask is None else mask
        # If the prompt has explicit positions, the next token continues them, as in generate.
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
        """Result of the call; adds its time, and its memory the first time, to the samples."""
        peak = None if stage in samples.memory else Peak(self._device)
        result, spent = timed(call, self._device)
        samples.milliseconds[stage].append(spent)
        if peak is not None:
            samples.memory[stage] = peak.above()
        return result

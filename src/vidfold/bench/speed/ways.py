"""The compared ways to a first token: how the vision tower runs, and the stages after it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from vidfold.bench import authors
from vidfold.bench.speed import results as names
from vidfold.bench.speed.memory import Peak, Stopwatch, timed
from vidfold.bench.speed.results import Way
from vidfold.bench.speed.work import patches
from vidfold.models import Family, LlavaOnevision
from vidfold.models.base import Inputs, accepted
from vidfold.models.cache import cache_argument, cache_of
from vidfold.reducers import AOT, AOTPaper, Identity, Reducer, select
from vidfold.tokens import Reduction, VideoTokens

PIXELS = "pixel_values_videos"
AUTHORS_PATCHES, ANCHORS, KEEP = 27 * 27, 126, 0.3
"""Setting of AOT's authors for 10 % of the tokens, and the patches of a frame that it is meant for."""
COUNTED = {names.UNFOLDED: (names.PREFILL,), names.ORACLE: (names.SPLICE, names.PREFILL)}
"""Way -> its stages before the first token, if not all: an untouched model splices by itself, the oracle's choice is
free."""

Encode = Callable[[Inputs], Any]
"""Runs the tower and the projector on all frames of the inputs."""
Fold = Callable[[], tuple[Reduction, ...]]
"""Gives the reductions of all videos."""


def towers(family: Family, reducer: Reducer) -> dict[str, Encode]:
    """The ways of running the vision tower; a method that needs no attention reads the untouched one."""
    model, features = family.model, getattr(family.model, "get_video_features", None)
    # A family that takes frames for images has no such function.
    plain = (lambda inputs: features(**accepted(features, inputs))) if features else family.encode
    made: dict[str, Encode] = {names.PLAIN: plain}
    if reducer.needs:
        made[names.TAPPED] = lambda inputs: family.encode(inputs, reducer.needs)
    is_theirs = isinstance(reducer, AOT | AOTPaper) and family.model_type == LlavaOnevision.model_type
    if is_theirs and patches(model.config) == AUTHORS_PATCHES:
        made[names.AUTHORS] = partial(authors.encode, model)
    return made


def parts(inputs: Inputs, frames: int, batch: int, size: int | None) -> list[tuple[int, Inputs]]:
    """Inputs in groups of at most ``size`` frames of each video, with the number of frames of all videos.

    None takes all frames; so do pixels that are not stored frame by frame, (B, F, C, H, W).
    """
    pixels = inputs.get(PIXELS)
    if size is None or pixels is None or pixels.ndim != 5:
        return [(batch * frames, inputs)]
    groups = torch.split(pixels, size, dim=1)
    return [(batch * group.shape[1], {**inputs, PIXELS: group.contiguous()}) for group in groups]


def folds(reducer: Reducer, videos: Sequence[VideoTokens], with_authors: bool) -> dict[str, Fold]:
    """The reductions of every way; the method runs once to get the oracle's number of tokens."""
    counts, theirs = [len(reducer(video)) for video in videos], authors.Authors(ANCHORS, KEEP)
    made: dict[str, Fold] = {
        names.UNFOLDED: lambda: tuple(map(Identity(), videos)),
        names.FOLDED: lambda: tuple(map(reducer, videos)),
        names.ORACLE: lambda: tuple(map(spaced, videos, counts)),
    }
    return made | ({names.AUTHORS: lambda: tuple(map(theirs, videos))} if with_authors else {})


def spaced(video: VideoTokens, count: int) -> Reduction:
    """``count`` pooled tokens, evenly spaced over the whole video; at most all of them."""
    full = video.frames * video.cells
    count = min(count, full)
    index = (2 * torch.arange(count, device=video.features.device) + 1) * full // (2 * count)
    side = None if video.side is None else video.side.flatten(1, 2)[:, index]
    return replace(select(video, index, weights=False), side=side)


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages after the tower for the prompts of one case.

    Attributes:
        family: family of the model.
        inputs: the prompts.
        new_tokens: number of tokens after the first.
    """

    family: Family
    inputs: Inputs
    new_tokens: int

    @torch.no_grad()
    def run(self, fold: Fold, way: Way) -> None:
        """Run a way: the first time to warm it up and measure its memory, then for one more time sample."""
        model, device, is_first = self.family.model, self.family.model.device, not way.memory

        def measure(stage: str, work: Callable[[], Any]) -> Any:
            if stage not in COUNTED.get(way.name, names.FIRST_TOKEN):
                return work()
            if is_first:
                peak, result = Peak(device), work()
                way.memory[stage] = peak.above()
            else:
                result, spent = timed(work, device)
                way.milliseconds.setdefault(stage, []).append(spent)
            return result

        reductions = measure(names.FOLD, fold)
        spliced = measure(names.SPLICE, partial(self.family.splice, self.inputs, reductions))
        output = measure(names.PREFILL, partial(model, **spliced, use_cache=True, logits_to_keep=1))
        cache, token = cache_of(output), output.logits[:, -1].argmax(-1, keepdim=True)
        way.tokens, way.cache_positions = tuple(map(len, reductions)), int(cache.get_seq_length())
        way.cache_bytes = sum(each.nbytes for layer in cache.layers for each in (layer.keys, layer.values))
        mask = spliced.get("attention_mask")
        mask = torch.ones_like(spliced["input_ids"]) if mask is None else mask
        # If the prompt has explicit positions, the next token continues them, as in generate.
        places = spliced.get("position_ids")
        settings: dict[str, Any] = {**cache_argument(model, cache), "use_cache": True, "logits_to_keep": 1}
        watch = Stopwatch(device)
        for _ in range(self.new_tokens):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            if places is not None:
                settings["position_ids"] = places = places[..., -1:] + 1
            logits = model(input_ids=token, attention_mask=mask, **settings).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            watch.mark()
        if not is_first:
            way.milliseconds.setdefault(names.STEP, []).extend(watch.laps())

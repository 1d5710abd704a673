"""The compared ways to a first token: how the vision tower runs, and the stages after it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch

from vidfold.app.asking import timed
from vidfold.app.memory import observed
from vidfold.bench import authors
from vidfold.bench.speed import results as names
from vidfold.bench.speed.results import Way
from vidfold.models import Family, LlavaOnevision
from vidfold.models.base import Inputs, accepted
from vidfold.models.cache import cache_argument, cache_of
from vidfold.reducers import AOT, AOTPaper, Identity, Reducer, select
from vidfold.tokens import Reduction, VideoTokens

T = TypeVar("T")

PIXELS = "pixel_values_videos"
AUTHORS_SIDE, ANCHORS, KEEP = 27, 126, 0.3
"""Setting of AOT's authors for 10 % of the tokens, and the patches along a side of a frame that it is meant for."""
STAGES = (*names.FIRST_TOKEN, names.STEP)
COUNTED = {names.UNFOLDED: (names.PREFILL, names.STEP), names.ORACLE: (names.SPLICE, names.PREFILL, names.STEP)}
"""Way -> its stages, if not all: an untouched model splices by itself, the oracle's choice is free."""

Encode = Callable[[Inputs], Any]
"""Runs the tower and the projector on all frames of the inputs."""
Fold = Callable[[], tuple[Reduction, ...]]
"""Gives the reductions of all videos."""


def towers(family: Family, reducer: Reducer) -> dict[str, Encode]:
    """Way -> its vision tower; the others share the untouched one, as a method does that needs no attention."""
    model, features = family.model, getattr(family.model, "get_video_features", None)
    # A family that takes frames for images has no such function.
    plain = (lambda inputs: features(**accepted(features, inputs))) if features else family.encode
    made: dict[str, Encode] = {names.UNFOLDED: plain}
    if reducer.needs:
        made[names.FOLDED] = lambda inputs: family.encode(inputs, reducer.needs)
    if isinstance(reducer, AOT | AOTPaper) and family.model_type == LlavaOnevision.model_type:
        vision = model.config.vision_config
        if vision.image_size // vision.patch_size == AUTHORS_SIDE:
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
    counts, theirs = [len(reducer(video)) for video in videos], AOT.reference(ANCHORS, KEEP)
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


def sampled(way: Way, stage: str, work: Callable[[], T], device: torch.device, *, warm: bool, share: int = 1) -> T:
    """Run a stage of a way: with ``warm`` to observe it, else for a time sample, divided by ``share``."""
    if not warm:
        result, spent = timed(work)
        way.milliseconds.setdefault(stage, []).append(spent / share)
        return result
    result, way.memory[stage], operations = observed(work, device)
    way.operations[stage] = operations / share
    return result


@torch.no_grad()
def run(family: Family, inputs: Inputs, new_tokens: int, fold: Fold, way: Way, *, warm: bool) -> None:
    """Run the stages after the tower.

    Args:
        family: family of the model.
        inputs: the prompts.
        new_tokens: number of tokens after the first.
        fold: gives the reductions.
        way: is filled in.
        warm: as in `sampled`.
    """
    model = family.model

    def stage(name: str, work: Callable[[], Any]) -> Any:
        is_counted = name in COUNTED.get(way.name, STAGES)
        return sampled(way, name, work, model.device, warm=warm) if is_counted else work()

    def next_token(**settings: Any) -> torch.Tensor:
        token: torch.Tensor = model(**settings, use_cache=True, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)
        return token

    reductions = stage(names.FOLD, fold)
    spliced = stage(names.SPLICE, partial(family.splice, inputs, reductions))
    output = stage(names.PREFILL, partial(model, **spliced, use_cache=True, logits_to_keep=1))
    cache = cache_of(output)
    way.tokens, way.cache_positions = tuple(map(len, reductions)), int(cache.get_seq_length())
    way.cache_bytes = sum(each.nbytes for layer in cache.layers for each in (layer.keys, layer.values))
    mask = spliced.get("attention_mask")
    mask = torch.ones_like(spliced["input_ids"]) if mask is None else mask
    token, places = output.logits[:, -1].argmax(-1, keepdim=True), spliced.get("position_ids")
    for _ in range(new_tokens):
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        settings = {"input_ids": token, "attention_mask": mask, **cache_argument(model, cache)}
        if places is not None:  # the next token continues explicit positions, as in generate
            settings["position_ids"] = places = places[..., -1:] + 1
        token = stage(names.STEP, partial(next_token, **settings))

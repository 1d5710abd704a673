"""The compared ways to a first token: how the vision tower runs, and the stages after it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

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

PIXELS, GRIDS = "pixel_values_videos", "video_grid_thw"
AUTHORS_PATCHES, ANCHORS, KEEP = 27 * 27, 126, 0.3
"""Setting of AOT's authors for 10 % of the tokens, and the patches of a frame that it is meant for."""

Encode = Callable[[Inputs], Any]
"""Runs the tower and the projector on all frames of the inputs."""


def towers(family: Family, reducer: Reducer) -> dict[str, Encode]:
    """The ways of running the vision tower; a method that needs no attention reads the untouched one."""
    model, features = family.model, family.model.get_video_features
    made: dict[str, Encode] = {names.PLAIN: lambda inputs: features(**accepted(features, inputs))}
    if reducer.needs:
        made[names.TAPPED] = lambda inputs: family.encode(inputs, reducer.needs)
    is_theirs = isinstance(reducer, AOT | AOTPaper) and family.model_type == LlavaOnevision.model_type
    if is_theirs and patches(model.config) == AUTHORS_PATCHES:
        made[names.AUTHORS] = partial(authors.encode, model)
    return made


def parts(inputs: Inputs, frames: int, batch: int, size: int | None) -> Iterator[tuple[int, Inputs]]:
    """Inputs in groups of at most ``size`` frames of each video, with the number of frames of all videos.

    None takes all frames; so do pixels that are not stored frame by frame.
    """
    pixels, grids = inputs[PIXELS], inputs.get(GRIDS)
    size = frames if size is None else size
    if isinstance(pixels, Tensor) and pixels.ndim == 5:
        for part in torch.split(pixels, size, dim=1):
            yield batch * part.shape[1], {**inputs, PIXELS: part.contiguous()}
    elif isinstance(grids, Tensor) and bool((grids == grids[0]).all()):
        # Patches are stored one temporal patch (some frames) after the other.
        steps, left = int(grids[0, 0]), frames
        each = -(-frames // steps)
        most = steps if size >= frames else max(1, size // each)
        for own in torch.split(pixels.view(len(grids), steps, -1, pixels.shape[-1]), most, dim=1):
            grid = torch.cat([torch.full_like(grids[:, :1], own.shape[1]), grids[:, 1:]], dim=1)
            count = min(own.shape[1] * each, left)
            left -= count
            yield batch * count, {**inputs, PIXELS: own.flatten(0, 2), GRIDS: grid}
    else:
        yield batch * frames, inputs


@dataclass(frozen=True, eq=False)
class Route:
    """The stages of one way after the tower.

    Attributes:
        name: name of the way.
        tower: how its tower runs.
        fold: folds a video; None if there is no fold to time.
        ready: reductions to splice in if ``fold`` is None.
        splices: whether splicing counts; an untouched model does this itself.
    """

    name: str
    tower: str
    fold: Callable[[VideoTokens], Reduction] | None = None
    ready: tuple[Reduction, ...] = ()
    splices: bool = True


def routes(reducer: Reducer, videos: Sequence[VideoTokens], with_authors: bool) -> list[Route]:
    """Stages of every way; folds each video once to get the oracle's number of tokens."""
    free = tuple(spaced(video, len(reducer(video))) for video in videos)
    made = [
        Route(names.UNFOLDED, names.PLAIN, ready=tuple(map(Identity(), videos)), splices=False),
        Route(names.FOLDED, names.TAPPED if reducer.needs else names.PLAIN, fold=reducer),
        Route(names.ORACLE, names.PLAIN, ready=free),
    ]
    if with_authors:
        made.append(Route(names.AUTHORS, names.AUTHORS, fold=authors.Authors(ANCHORS, KEEP)))
    return made


def spaced(video: VideoTokens, count: int) -> Reduction:
    """``count`` pooled tokens, evenly spaced over the whole video; at most all of them."""
    full = video.frames * video.cells
    count = min(count, full)
    index = (2 * torch.arange(count, device=video.features.device) + 1) * full // (2 * count)
    side = None if video.side is None else video.side.flatten(1, 2)[:, index]
    return replace(select(video, index, weights=False), side=side)


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages after the tower for the videos of one case.

    Attributes:
        family: family of the model.
        inputs: the prompts.
        videos: the encoded videos.
        new_tokens: number of tokens after the first.
    """

    family: Family
    inputs: Inputs
    videos: Sequence[VideoTokens]
    new_tokens: int

    @torch.no_grad()
    def run(self, route: Route, way: Way) -> None:
        """Run a way: the first time to warm it up and measure its memory, then for one more time sample."""
        model, device, is_first = self.family.model, self.family.model.device, not way.memory

        def measure(stage: str, work: Callable[[], Any]) -> Any:
            if is_first:
                peak, result = Peak(device), work()
                way.memory[stage] = peak.above()
            else:
                result, spent = timed(work, device)
                way.milliseconds.setdefault(stage, []).append(spent)
            return result

        reductions, fold = route.ready, route.fold
        if fold is not None:
            reductions = measure(names.FOLD, lambda: tuple(map(fold, self.videos)))
        splice = partial(self.family.splice, self.inputs, reductions)
        spliced = measure(names.SPLICE, splice) if route.splices else splice()
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

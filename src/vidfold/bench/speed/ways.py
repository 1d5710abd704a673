"""The compared ways to a first token: how the vision tower runs, and the stages after it.

Every way is warmed up once, and its memory is measured then. Time samples come from later runs, which take turns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vidfold.bench.authors import Authors
from vidfold.bench.speed import results as names
from vidfold.bench.speed.memory import Peak, Stopwatch, timed
from vidfold.bench.speed.results import Group, Way
from vidfold.models import Family
from vidfold.models.base import Inputs, accepted
from vidfold.models.cache import cache_argument, cache_of
from vidfold.reducers import Identity, Reducer, select
from vidfold.tokens import Reduction, VideoTokens

LEAST = 3
"""Least number of time samples of every stage."""
PIXELS, GRIDS = "pixel_values_videos", "video_grid_thw"
ANCHORS, KEEP = 126, 0.3
"""Setting of AOT's authors for 10 % of the tokens."""

Encode = Callable[[Inputs], Any]
"""Runs the tower and the projector on all frames of the inputs."""
Fold = Callable[[VideoTokens], Reduction]
Measure = Callable[[str, Callable[[], Any]], Any]
"""Runs the work of a stage, takes a measurement, and returns the result."""


def rotated(ways: Sequence[str], turn: int) -> list[str]:
    """The names in a different order each turn, so that none is always first or always after the same one."""
    first, back = turn % len(ways), turn % 2
    order = [*ways[first + back :], *ways[: first + back]]
    return order[::-1] if back else order


def stock(model: Any) -> Encode:
    """The tower as in the untouched model, with projector and pooling."""
    return lambda inputs: model.get_video_features(**accepted(model.get_video_features, inputs))


@dataclass(frozen=True, eq=False)
class TowerTimes:
    """The vision tower on the frames of one case, in small groups that run in every way in direct succession.

    Attributes:
        ways: name of a way -> function that runs it; "plain" and "tapped" are among them.
        parts: frames of all videos, and inputs, of each group.
        device: the model's device.
        passes: time samples so far.
        memory: name of a way -> peak bytes of the first group.
    """

    ways: dict[str, Encode]
    parts: Sequence[tuple[int, Inputs]]
    device: torch.device
    passes: list[list[Group]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)

    @torch.no_grad()
    def warm_up(self) -> list[str]:
        """Run every way on the first group.

        Returns:
            Ways that do not fit into memory and are left out; never the plain or the tapped one.
        """
        refused = []
        for name, encode in list(self.ways.items()):
            peak = Peak(self.device)
            try:
                encode(self.parts[0][1])
            except torch.OutOfMemoryError:
                if name != names.AUTHORS:
                    raise
                refused.append(name)
                del self.ways[name]
            else:
                self.memory[name] = peak.above()
        return refused

    @torch.no_grad()
    def run(self, left: Callable[[], float], step: Callable[[], None]) -> None:
        """One pass over the groups; after `LEAST` samples, those that do not fit into the time are left out."""
        before, run = sum(map(len, self.passes)), list[Group]()
        for turn, (frames, part) in enumerate(self.parts, before):
            spent = sum(run[-1].milliseconds.values()) / 1000 if run else 0.0
            if turn < LEAST or spent < left():
                order = rotated(list(self.ways), turn)
                times = {name: timed(partial(self.ways[name], part), self.device)[1] for name in order}
                run.append(Group(frames, times))
            step()
        self.passes.extend([run] if run else [])

    @torch.no_grad()
    def encoded(self, family: Family, needs: frozenset[str]) -> list[VideoTokens]:
        """The tokens of every video, not timed."""
        made = [family.encode(part, needs) for _, part in self.parts]
        return [joined(video) for video in zip(*made, strict=True)]


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
        for patches in torch.split(pixels.view(len(grids), steps, -1, pixels.shape[-1]), most, dim=1):
            grid = torch.cat([torch.full_like(grids[:, :1], patches.shape[1]), grids[:, 1:]], dim=1)
            count = min(patches.shape[1] * each, left)
            left -= count
            yield batch * count, {**inputs, PIXELS: patches.flatten(0, 2), GRIDS: grid}
    else:
        yield batch * frames, inputs


def joined(parts: Sequence[VideoTokens]) -> VideoTokens:
    """Join consecutive parts of a video."""
    together: dict[str, Any] = {}
    for name in (each.name for each in fields(VideoTokens) if each.name != "newline"):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Tensor):
            together[name] = torch.cat(values, dim=1 if name == "side" else 0)
    return replace(parts[0], **together)


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
    fold: Fold | None = None
    ready: tuple[Reduction, ...] = ()
    splices: bool = True


def routes(reducer: Reducer, videos: Sequence[VideoTokens], with_authors: bool) -> list[Route]:
    """Stages of every way; folds each video once to get the oracle's number of tokens."""
    free = tuple(spaced(video, len(reducer(video))) for video in videos)
    made = [
        Route(names.UNFOLDED, names.PLAIN, ready=tuple(map(Identity(), videos)), splices=False),
        # If the method needs no attention, the tower runs unobserved.
        Route(names.FOLDED, names.TAPPED if reducer.needs else names.PLAIN, fold=reducer),
        Route(names.ORACLE, names.PLAIN, ready=free),
    ]
    if with_authors:
        made.append(Route(names.AUTHORS, names.AUTHORS, fold=Authors(ANCHORS, KEEP)))
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

    def warm_up(self, route: Route) -> Way:
        """Run a way for the first time; returns it with its memory and without a time sample."""
        way = Way(route.name, route.tower)

        def measure(stage: str, work: Callable[[], Any]) -> Any:
            peak = Peak(self.model.device)
            result = work()
            way.memory[stage] = peak.above()
            return result

        tokens, positions, size, _ = self._run(route, measure)
        return replace(way, tokens=tokens, cache_positions=positions, cache_bytes=size)

    def run(self, route: Route, way: Way) -> None:
        """Run a way once more, and add its time samples."""

        def measure(stage: str, work: Callable[[], Any]) -> Any:
            result, spent = timed(work, self.model.device)
            way.milliseconds.setdefault(stage, []).append(spent)
            return result

        way.milliseconds.setdefault(names.STEP, []).extend(self._run(route, measure)[-1])

    @torch.no_grad()
    def _run(self, route: Route, measure: Measure) -> tuple[tuple[int, ...], int, int, list[float]]:
        """Visual tokens, the cache's positions and bytes after prefill, and milliseconds of each further token."""
        reductions, fold = route.ready, route.fold
        if fold is not None:
            reductions = measure(names.FOLD, lambda: tuple(map(fold, self.videos)))
        splice = partial(self.family.splice, self.inputs, reductions)
        spliced = measure(names.SPLICE, splice) if route.splices else splice()
        output = measure(names.PREFILL, partial(self.model, **spliced, use_cache=True, logits_to_keep=1))
        cache, token = cache_of(output), output.logits[:, -1].argmax(-1, keepdim=True)
        positions, size = int(cache.get_seq_length()), sum(x.nbytes for y in cache.layers for x in (y.keys, y.values))
        mask = spliced.get("attention_mask")
        mask = torch.ones_like(spliced["input_ids"]) if mask is None else mask
        # If the prompt has explicit positions, the next token continues them, as in generate.
        places = spliced.get("position_ids")
        settings: dict[str, Any] = {**cache_argument(self.model, cache), "use_cache": True, "logits_to_keep": 1}
        watch = Stopwatch(self.model.device)
        for _ in range(self.new_tokens):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            if places is not None:
                settings["position_ids"] = places = places[..., -1:] + 1
            logits = self.model(input_ids=token, attention_mask=mask, **settings).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            watch.mark()
        return tuple(map(len, reductions)), positions, size, watch.laps()

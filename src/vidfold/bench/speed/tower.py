"""Time the vision tower on small groups of frames; each group runs through it in several ways."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vidfold.bench.speed.memory import Peak
from vidfold.bench.speed.plan import Case, Clock, groups, mean, rotated
from vidfold.bench.speed.results import PLAIN, TAPPED, Group
from vidfold.bench.speed.stopwatch import timed
from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.tokens import VideoTokens

PIXELS, GRIDS = "pixel_values_videos", "video_grid_thw"
Encode = Callable[[Inputs], Any]
"""Runs the tower and the projector on all frames of the inputs."""


def stock(model: Any) -> Encode:
    """The tower as in the untouched model, with projector and pooling."""
    names = inspect.signature(model.get_video_features).parameters

    def encode(inputs: Inputs) -> None:
        model.get_video_features(**{name: inputs[name] for name in names if inputs.get(name) is not None})

    return encode


def tapped(family: Family, needs: frozenset[str]) -> Callable[[Inputs], list[VideoTokens]]:
    """The tower as in a fold, with the fields that the method needs."""
    return lambda inputs: family.encode(inputs, needs)


@dataclass(eq=False)
class TowerTimes:
    """Passes of the tower over the frames of one case.

    Attributes:
        case: the number of frames and videos.
        inputs: inputs with the pixels of all videos.
        ways: name of a way -> function that runs it; contains `PLAIN` and `TAPPED`.
        size: frames of each video per call; None: all.
        device: the model's device.
        passes: samples so far.
        memory: name of a way -> peak bytes of the first group.
        seconds: duration of the last pass.
    """

    case: Case
    inputs: Inputs
    ways: dict[str, Encode]
    size: int | None
    device: torch.device
    passes: list[list[Group]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @torch.no_grad()
    def warm_up(self) -> list[str]:
        """Run every way once: on a GPU on all frames, else on one frame.

        Returns:
            Ways that do not fit into memory and are left out; never the plain or the tapped one.
        """
        part = next(self._parts(None if self.device.type == "cuda" else 1))[1]
        refused = []
        for name, encode in list(self.ways.items()):
            try:
                encode(part)
            except torch.OutOfMemoryError:
                if name in (PLAIN, TAPPED):
                    raise
                refused.append(name)
                del self.ways[name]
        return refused

    @torch.no_grad()
    def run(self, clock: Clock, reserve: float, step: Callable[[], None]) -> list[VideoTokens]:
        """One pass; returns the tokens of every video from the tapped way.

        Other ways than the plain and the tapped one stop early (after the first group at the earliest), if otherwise
        those two would not finish all groups ``reserve`` seconds before the time limit.
        """
        made: list[list[VideoTokens]] = []
        run: list[Group] = []
        spent: dict[str, list[float]] = defaultdict(list)
        parts = list(self._parts(self.size))
        for turn, (frames, part) in enumerate(parts):
            once = {name: mean(each) / 1000 for name, each in spent.items()}
            ahead = sum(once.values()) + (len(parts) - turn - 1) * sum(once.get(name, 0.0) for name in (PLAIN, TAPPED))
            least = [name for name in self.ways if name in (PLAIN, TAPPED)]
            chosen = list(self.ways) if turn == 0 or ahead <= clock.left - reserve else least
            times: dict[str, float] = {}
            for name in rotated(chosen, turn):
                peak = None if name in self.memory else Peak(self.device)
                result, times[name] = timed(partial(self.ways[name], part), self.device)
                if peak is not None:
                    self.memory[name] = peak.above()
                spent[name].append(times[name])
                if name == TAPPED:
                    made.append(result)
                del result
            run.append(Group(frames * self.case.batch, times))
            step()
        self.passes.append(run)
        self.seconds = sum(time for group in run for time in group.milliseconds.values()) / 1000
        return [joined(parts) for parts in zip(*made, strict=True)]

    @torch.no_grad()
    def encoded(self, encode: Callable[[Inputs], list[VideoTokens]]) -> list[VideoTokens]:
        """The tokens of every video from another way, not timed."""
        made = [encode(part) for _, part in self._parts(self.size)]
        return [joined(parts) for parts in zip(*made, strict=True)]

    def _parts(self, size: int | None) -> Iterator[tuple[int, Inputs]]:
        """Number of frames and inputs of each part; one part if pixels are not stored frame by frame."""
        pixels, grids, frames = self.inputs[PIXELS], self.inputs.get(GRIDS), self.case.frames
        if isinstance(pixels, Tensor) and pixels.ndim == 5:
            for part in groups(frames, size):
                chosen = pixels[:, part].contiguous()
                yield chosen.shape[1], {**self.inputs, PIXELS: chosen}
        elif isinstance(grids, Tensor) and bool((grids == grids[0]).all()):
            # Patches are stored one temporal patch (some frames) after the other.
            steps = int(grids[0, 0])
            each = -(-frames // steps)
            patches = pixels.view(len(grids), steps, -1, pixels.shape[-1])
            for part in groups(steps, None if size is None else max(1, size // each)):
                chosen = patches[:, part]
                grid = grids.clone()
                grid[:, 0] = chosen.shape[1]
                count = min(part.stop * each, frames) - part.start * each
                yield count, {**self.inputs, PIXELS: chosen.flatten(0, 2), GRIDS: grid}
        else:
            yield frames, self.inputs


def joined(parts: Sequence[VideoTokens]) -> VideoTokens:
    """Join consecutive parts of a video."""
    if len(parts) == 1:
        return parts[0]
    together: dict[str, Any] = {}
    for each in fields(VideoTokens):
        values = [getattr(part, each.name) for part in parts]
        if each.name != "newline" and isinstance(values[0], Tensor):
            together[each.name] = torch.cat(values, dim=1 if each.name == "side" else 0)
    return replace(parts[0], **together)

"""Real clips, with and without a tower method: what stands still there decides how long a first token takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vidfold import models
from vidfold.app.asking import timed
from vidfold.bench.speed.run import Subject, Tell
from vidfold.bench.speed.ways import spaced
from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.models.partial.encoding import encode
from vidfold.reducers import Identity, Reducer
from vidfold.tokens import Reduction, VideoTokens
from vidfold.tower import TowerMethod
from vidfold.video import sample

TOWER, FOLD, SPLICE, PREFILL = STAGES = ("tower", "fold", "splice", "prefill")
UNFOLDED, METHOD, ORACLE, PART = WAYS = ("unfolded", "method", "oracle", "part")
"""The stock model; the method; as many tokens chosen at no cost; the method on what a tower method computes."""
WARM = 2
"""Frames of the first clip on which everything is run once before."""


@dataclass(frozen=True, eq=False)
class Clip:
    """What was measured on one clip.

    Attributes:
        name: of its file.
        frames: F.
        share: of the tower's units that the tower method had computed, as in `Spent.share`.
        milliseconds: way -> stage -> time.
        operations: way -> operations of the tower's matrix products, as torch counts them, two a multiply-add.
        papers: way -> operations of tower and prefill as papers count them (`papers_work`), if the config says.
    """

    name: str
    frames: int
    share: float
    milliseconds: dict[str, dict[str, float]] = field(default_factory=dict)
    operations: dict[str, float] = field(default_factory=dict)
    papers: dict[str, float] = field(default_factory=dict)

    def first_token(self, way: str) -> float:
        """Milliseconds from pixels to the first token."""
        return sum(self.milliseconds[way].values())

    def over_oracle(self, way: str) -> float:
        """That time relative to the oracle's, on this clip."""
        return self.first_token(way) / self.first_token(ORACLE)


@torch.no_grad()
def measure(
    reducer: Reducer, tower: TowerMethod, subject: Subject, folder: Path, frames: int, minutes: float, tell: Tell
) -> list[Clip]:
    """Measure the clips of a folder, evenly chosen, as many as fit into the minutes, and at least one.

    Both towers run on a clip one right after the other, in turns of their order.

    Raises:
        ValueError: a folder without files, a file that is no video, or a model that cannot run part of its tower.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if not files:
        raise ValueError(f"--videos must be a folder with video files, got {str(folder)!r}")
    family, end, found = models.family(subject.model), time.monotonic() + 60 * minutes, list[Clip]()
    family.check_needs(reducer.needs)
    tell("warming up every way on a few frames")
    _clip(family, reducer, tower, subject, files[0], WARM, turn=0)
    for turn, path in enumerate(_spread(files)):
        start = time.monotonic()
        found.append(_clip(family, reducer, tower, subject, path, frames, turn))
        spent = time.monotonic() - start
        tell(f"{path.name}: {100 * found[-1].share:.0f} % computed, {spent:.0f} s")
        if time.monotonic() + spent > end:
            break
    return found


def _spread(files: Sequence[Path]) -> list[Path]:
    """The files in an order whose every beginning is spread over all of them."""
    golden = (5**0.5 - 1) / 2
    return sorted(files, key=lambda path: (files.index(path) * golden) % 1)


def _clip(
    family: Family, reducer: Reducer, tower: TowerMethod, subject: Subject, path: Path, frames: int, turn: int
) -> Clip:
    inputs = subject.shown(sample(path, frames))
    runs: dict[str, Callable[[], Any]] = {
        METHOD: partial(family.encode, inputs, reducer.needs),
        PART: partial(encode, family, inputs, reducer.needs, tower),
    }
    spent, counts, results = dict[str, float](), dict[str, float](), dict[str, Any]()
    for way in (METHOD, PART) if turn % 2 else (PART, METHOD):
        with FlopCounterMode(display=False) as counter:
            results[way], spent[way] = timed(runs[way])
        counts[way] = counter.get_total_flops()
    videos, (partly, computed) = results[METHOD], results[PART]
    kept = [len(reducer(video)) for video in videos]
    folds: dict[str, tuple[list[VideoTokens], Callable[[Sequence[VideoTokens]], list[Reduction]]]] = {
        UNFOLDED: (videos, lambda given: [Identity()(video) for video in given]),
        METHOD: (videos, lambda given: [reducer(video) for video in given]),
        ORACLE: (videos, lambda given: [spaced(video, count) for video, count in zip(given, kept, strict=True)]),
        PART: (partly, lambda given: [reducer(video) for video in given]),
    }
    clip = Clip(path.name, videos[0].frames, computed.share)
    for way, (given, fold) in folds.items():
        own = way if way == PART else METHOD
        reductions, folding = timed(fold, given=given)
        spliced, splicing = timed(family.splice, inputs=inputs, reductions=reductions)
        _, prefilling = timed(partial(family.model, **spliced, use_cache=True, logits_to_keep=1))
        choice = 0.0 if way in (UNFOLDED, ORACLE) else folding
        times = (spent[own], choice, 0.0 if way == UNFOLDED else splicing, prefilling)
        clip.milliseconds[way] = dict(zip(STAGES, times, strict=True))
        clip.operations[way] = counts[own]
        clip.papers[way] = papers_work(family.model.config, inputs, clip.share if way == PART else 1.0, reductions)
    return clip


def papers_work(config: Any, inputs: Inputs, share: float, reductions: Sequence[Reduction]) -> float:
    """Operations of tower and prefill as papers of the field count them; nan for configs of other names.

    L (4 n d² + 2 n² d + 2 n d m) for n tokens (FastV, arXiv 2403.06764): a multiply-add is one operation, all heads
    have keys of their own, a feed-forward layer has two matrices, attention is not causal, and only visual tokens
    count. In the tower, n are the computed tokens, of which each sees its frame.
    """
    vision, text = config.vision_config, config.get_text_config()
    names = ("image_size", "patch_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    pixels = inputs.get("pixel_values_videos")
    if pixels is None or pixels.ndim != 5 or not all(isinstance(getattr(vision, name, None), int) for name in names):
        return float("nan")
    patches = (vision.image_size // vision.patch_size) ** 2
    computed = share * pixels.shape[0] * pixels.shape[1] * patches
    kept = [len(each) for each in reductions]
    return _papers(vision, computed, patches) + sum(_papers(text, count, count) for count in kept)


def _papers(config: Any, tokens: float, seen: float) -> float:
    width, inner = config.hidden_size, config.intermediate_size
    return float(config.num_hidden_layers * tokens * (4 * width**2 + 2 * seen * width + 2 * width * inner))

"""What a folded call of a model costs on this machine, by a few short calls: time of its stages, and memory."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vidfold import models
from vidfold.app.asking import processed
from vidfold.app.loading import VideoModel
from vidfold.app.memory import Peak
from vidfold.folding import fold
from vidfold.reducers import AOT
from vidfold.video import Frames

MakeInputs = Callable[[int], Mapping[str, Any]]
"""Makes the keyword arguments of ``generate`` for a video of some frames."""

FEW, MORE = 2, 6
"""Frames of the short calls."""
LEAST = 8
"""Tokens that a short call keeps at least."""
SIZE = (384, 384)
"""Height and width of the frames of a short call, unless said otherwise."""


@dataclass(frozen=True)
class Line:
    """A cost that grows with a count: ``start + each * count``."""

    start: float
    each: float

    def at(self, count: float) -> float:
        """The cost of a count."""
        return self.start + self.each * count

    @classmethod
    def through(cls, counts: Sequence[int], costs: Sequence[float]) -> "Line":
        """The line with the least squared distance, of no negative start or slope.

        Of equal counts the least cost is taken: what else a machine does only adds to it.
        """
        least: dict[int, float] = {}
        for count, cost in zip(counts, costs, strict=True):
            least[count] = min(cost, least.get(count, cost))
        counts, costs = [*least], [*least.values()]
        if len(counts) < 2:
            return cls(0.0, costs[0] / max(1, counts[0]))
        each, start = np.polyfit(counts, costs, 1)
        if start < 0:
            return cls(0.0, float(np.dot(counts, costs) / np.dot(counts, counts)))
        return cls(float(start), float(each)) if each > 0 else cls(float(np.mean(costs)), 0.0)


@dataclass(frozen=True)
class Costs:
    """Costs of a folded call with one video, up to the first token of its answer.

    Attributes:
        cells: N, visual tokens of a frame.
        text: other tokens of the prompt.
        prepare: seconds of the processor, by frames.
        tower: seconds of the vision tower and projector, by frames.
        fold: seconds of the fold, by frames.
        prefill: seconds of the language model up to the first token, by tokens of the prompt.
        weights: bytes of the model.
        working: bytes beside weights and cache at the peak of a call, by frames. Measured where the system tells, on
            CUDA and Linux, else the counted bytes of the tower's largest layer.
        cached: bytes of the cache for a token of the prompt. Counted from its config.
    """

    cells: int
    text: int
    prepare: Line
    tower: Line
    fold: Line
    prefill: Line
    weights: int
    working: Line
    cached: int

    def seconds(self, frames: int, tokens: int) -> dict[str, float]:
        """Stage -> seconds, of F frames folded to K tokens."""
        stages = {name: getattr(self, name).at(frames) for name in ("prepare", "tower", "fold")}
        return stages | {"prefill": self.prefill.at(tokens + self.text)}

    def memory(self, frames: int, tokens: int) -> int:
        """Bytes of weights, cache and what a call works with. What else a library holds is not counted."""
        return int(self.weights + self.working.at(frames) + (tokens + self.text) * self.cached)


@dataclass(frozen=True)
class Call:
    """What one call took.

    Attributes:
        stages: stage -> seconds, up to the first token of the answer.
        memory: bytes at its peak, above those before it; 0 where the system does not tell.
    """

    stages: dict[str, float]
    memory: int

    @property
    def seconds(self) -> float:
        """Seconds up to the first token of the answer."""
        return sum(self.stages.values())


def calibrate(model: Any, inputs: MakeInputs, *, progress: Callable[[int, int], None] | None = None) -> Costs:
    """Measure the costs of a loaded model by five short calls with 2 and 6 frames; the first one warms up.

    Args:
        model: a transformers model of a supported family.
        inputs: makes the keyword arguments of ``generate`` for a video of some frames.
        progress: called with (done, all) after every call.

    Raises:
        ValueError: an unsupported model, or inputs without a video.
    """
    family = models.family(model)
    calls: list[tuple[int, int, int, Call]] = []
    given, cells, text = {}, 0, 0
    for done, (frames, whole) in enumerate([(FEW, False), (FEW, False), (FEW, True), (MORE, False), (MORE, True)]):
        given = dict(inputs(frames))
        full = family.visual_tokens(given["input_ids"])
        text = given["input_ids"].shape[1] - full
        kept = full if whole else max(1, min(full - 1, LEAST))
        calls.append((frames, full, text + kept, measured(model, inputs, frames, kept)))
        if progress is not None:
            progress(done + 1, 5)
    warm = calls[1:]
    # Some models share the tokens of a frame between pairs, so this is a mean.
    cells = max(1, round(warm[-1][1] / warm[-1][0]))
    lines = {
        name: Line.through([row[0] for row in warm], [row[3].stages[name] for row in warm])
        for name in ("prepare", "tower", "fold")
    }
    prefill = Line.through([row[2] for row in warm], [row[3].stages["prefill"] for row in warm])
    cached = _cached(model)
    beside = [max(0, row[3].memory - row[2] * cached) for row in warm]
    working = Line.through([row[0] for row in warm], beside) if any(beside) else Line(0.0, _working(model, given))
    weights = sum(each.nbytes for each in model.parameters())
    return Costs(cells, text, **lines, prefill=prefill, weights=weights, working=working, cached=cached)


def measured(model: Any, inputs: MakeInputs, frames: int, tokens: int) -> Call:
    """One call with F frames folded to K tokens, up to its first token; arguments as `calibrate`.

    Raises:
        ValueError: inputs without a video.
    """
    peak = Peak(model.device)
    start = time.perf_counter()
    given = inputs(frames)
    prepared = time.perf_counter()
    full = models.family(model).visual_tokens(given["input_ids"])
    with fold(model, AOT(tokens=tokens) if tokens < full else AOT(retention=1.0)) as folded:
        model.generate(**given, max_new_tokens=1, do_sample=False)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        end = time.perf_counter()
    if folded.last is None or not folded.last.reductions:
        raise ValueError(f"the inputs hold no video: they have {', '.join(sorted(given))}")
    tower, folding = (folded.last.milliseconds[name] / 1000 for name in ("encode", "fold"))
    rest = end - prepared - tower - folding
    return Call({"prepare": prepared - start, "tower": tower, "fold": folding, "prefill": rest}, peak.above())


def cells_of(loaded: VideoModel, size: tuple[int, int] = SIZE) -> int:
    """N, tokens of a frame of this height and width, by a loaded model."""
    tokens = models.family(loaded.model).visual_tokens(inputs_of(loaded, size)(FEW)["input_ids"])
    return max(1, round(tokens / FEW))


def inputs_of(loaded: VideoModel, size: tuple[int, int] = SIZE) -> MakeInputs:
    """What makes inputs of a loaded model for a noisy video of some frames of this height and width."""

    def inputs(frames: int) -> Mapping[str, Any]:
        pixels = np.random.default_rng(0).integers(0, 256, (frames, *size, 3), np.uint8)
        video = Frames(pixels, np.arange(frames, dtype=np.float64), float(frames), 1.0, frames, frames)
        return processed(loaded, video, ["What happens in this video?"])

    return inputs


def _cached(model: Any) -> int:
    """Bytes of a token in the cache: a key and a value for every head of every layer."""
    text = model.config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * size * model.dtype.itemsize)


def _working(model: Any, inputs: Mapping[str, Any]) -> int:
    """Bytes of pixels and of the widest states of the vision tower for a frame."""
    vision = model.config.vision_config
    frames = MORE
    pixels = sum(each.nbytes for name, each in inputs.items() if name.startswith("pixel_values"))
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    values = sum(each.numel() for name, each in inputs.items() if name.startswith("pixel_values"))
    patches = values / (3 * patch**2)
    width = 4 * vision.hidden_size + 2 * vision.intermediate_size
    return int((pixels + patches * width * model.dtype.itemsize) / frames)

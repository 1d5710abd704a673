"""Ask a model about a video: one call from sampled frames to an answer with its tokens, cache and times."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from vidfold import models
from vidfold.app.loading import VideoModel
from vidfold.checks import check_count
from vidfold.folding import fold
from vidfold.models.cache import cache_of
from vidfold.reading.processing import processed as through
from vidfold.reducers import Reducer
from vidfold.tower import TowerMethod
from vidfold.video import Frames

_T = TypeVar("_T")


@dataclass(frozen=True)
class Answer:
    """An answer of a model, with its tokens, cache and times.

    Attributes:
        text: the answer.
        tokens_before: visual tokens of the video, without the newlines that the model adds.
        tokens_after: those of them that the language model read.
        cache_positions: positions in the key-value cache at the end: prompt and answer.
        cache_bytes: memory of that cache.
        milliseconds: stage -> time; preprocess, encode, fold, splice, generate.
        layer_retention: share of the visual tokens that a layer of the language model read, on average; less than
            `retention` where a method drops tokens between layers.
        tower_share: share of the video that the vision tower computed, see `Spent`.
    """

    text: str
    tokens_before: int
    tokens_after: int
    cache_positions: int
    cache_bytes: int
    milliseconds: dict[str, float]
    layer_retention: float
    tower_share: float = 1.0

    @property
    def retention(self) -> float:
        """Share of the visual tokens that the language model read."""
        return self.tokens_after / self.tokens_before

    @property
    def total(self) -> float:
        """Milliseconds of all stages together."""
        return sum(self.milliseconds.values())


def ask(
    loaded: VideoModel,
    frames: Frames,
    question: str,
    reducer: Reducer | None = None,
    *,
    max_new_tokens: int = 64,
    tower: TowerMethod | None = None,
) -> Answer:
    """Answer a question about a video, greedily.

    Args:
        loaded: the model.
        frames: of the video; all of them are used.
        question: in words.
        reducer: folds the video; None does not fold.
        max_new_tokens: length of the answer at most.
        tower: what decides which part of a folded video the vision tower computes; None: all.

    Raises:
        ValueError: an empty question, no room for an answer, or a video, model and reducer that do not fit together.
    """
    check_question(question)
    check_count("max_new_tokens", max_new_tokens)
    start = time.perf_counter()
    inputs = processed(loaded, frames, [question])
    spent = {"preprocess": 1000 * (time.perf_counter() - start)}
    settings = {"max_new_tokens": max_new_tokens, "do_sample": False, "return_dict_in_generate": True}
    call = called(loaded, reducer, "generate", inputs | settings, tower=tower)
    output, length = call.result, inputs["input_ids"].shape[1]
    cache = cache_of(output)
    return Answer(
        text=loaded.processor.decode(output.sequences[0, length:], skip_special_tokens=True).strip(),
        tokens_before=call.before[0],
        tokens_after=call.after[0],
        cache_positions=int(cache.get_seq_length()),
        cache_bytes=sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values)),
        milliseconds=spent | call.milliseconds,
        layer_retention=call.inside,
        tower_share=call.tower,
    )


@dataclass(frozen=True)
class Call:
    """A call of a model on prompts with a video each, with their tokens and times.

    Attributes:
        result: of the call.
        before: visual tokens of each video, without the newlines that the model adds.
        after: those of them that the language model read.
        inside: share of the visual tokens that a layer of the language model read, on average.
        milliseconds: stage -> time; unfolded encode, else encode, fold and splice, and the stage that follows.
        tower: share of the videos that the vision tower computed.
    """

    result: Any
    before: tuple[int, ...]
    after: tuple[int, ...]
    inside: float
    milliseconds: dict[str, float]
    tower: float = 1.0


def called(
    loaded: VideoModel,
    reducer: Reducer | None,
    stage: Literal["generate", "score"],
    inputs: Mapping[str, Any],
    *,
    tower: TowerMethod | None = None,
) -> Call:
    """Call a model on prompts and videos.

    Args:
        loaded: the model.
        reducer: folds the videos; None does not fold.
        stage: generate calls the method of that name, score the model itself.
        inputs: of the processor, one video a prompt, and settings of the call.
        tower: what decides which part of folded videos the vision tower computes; None: all.

    Raises:
        ValueError: inputs without a video for each prompt.
    """
    model, ids = loaded.model, inputs["input_ids"]
    if reducer is None:
        family = models.family(model)
        before = after = tuple(family.visual_tokens(row[None]) for row in ids)
        inside = share = 1.0
        with encoding_timed(model) as encoded:
            result, total = timed(model.generate if stage == "generate" else model, **inputs)
        stages = {"encode": encoded()}
    else:
        with fold(model, reducer, tower=tower) as folded:
            result, total = timed(model.generate if stage == "generate" else model, **inputs)
        report = folded.last
        if report is None or len(report.reductions) != len(ids):
            raise ValueError(f"the processor of {loaded.name!r} passed no video on to the model")
        before, after, inside = tuple(report.before), tuple(report.after), report.layer_retention
        share = report.tower.share if report.tower else 1.0
        stages = dict(report.milliseconds)
    return Call(result, before, after, inside, stages | {stage: total - sum(stages.values())}, share)


def check_question(question: str) -> None:
    """Raise a ValueError where the question is empty."""
    if not question.strip():
        raise ValueError(f"question must not be empty, got {question!r}")


def processed(loaded: VideoModel, frames: Frames, questions: Sequence[str]) -> dict[str, Any]:
    """Prompts and frames as the processor makes them, on the model's device in its dtype: each with its own video."""
    family, times = models.family(loaded.model), frames.timestamps.tolist()
    texts = [family.asked(text, frames.duration, times) for text in questions]
    chats = [[{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}] for text in texts]
    return inputs_of(loaded, [loaded.written(chat) for chat in chats], [frames] * len(chats))


def inputs_of(loaded: VideoModel, prompts: Sequence[str], videos: Sequence[Frames], **settings: Any) -> dict[str, Any]:
    """Prompts and their videos, one each, as the processor makes them, on the model's device in its dtype.

    Args:
        loaded: the model.
        prompts: with the place of a video.
        videos: one a prompt; all of their frames are used.
        settings: of the processor, such as ``padding_side``.

    Raises:
        ValueError: a processor that fails; the message names the model and the reason.
    """
    return through(loaded.model, loaded.processor, prompts, videos, name=loaded.name, **settings)


def timed(call: Callable[..., _T], **settings: Any) -> tuple[_T, float]:
    """The result of a call, and its milliseconds."""
    start = _now()
    result = call(**settings)
    return result, _now() - start


@contextmanager
def encoding_timed(model: Any) -> Iterator[Callable[[], float]]:
    """Measures the milliseconds up to the first call of the decoder: an unfolded model encodes the video in them."""
    reached: list[float] = []
    start = _now()

    def note(*_: object) -> None:
        if not reached:
            reached.append(_now())

    hook = model.get_decoder().register_forward_pre_hook(note)
    try:
        yield lambda: reached[0] - start
    finally:
        hook.remove()


def _now() -> float:
    """The time in milliseconds, once the GPUs that this process uses have finished all work that they were given."""
    if torch.cuda.is_available():
        for device in filter(torch.cuda.memory_allocated, range(torch.cuda.device_count())):
            torch.cuda.synchronize(device)
    return 1000 * time.perf_counter()

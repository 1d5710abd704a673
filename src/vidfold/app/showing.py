"""A page on a video: folds of it by several methods and budgets, and what the model answers from each."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from vidfold.app.asking import ask, check_question, timed
from vidfold.app.encoded import Encoded
from vidfold.app.tables import described, duration
from vidfold.checks import check_count
from vidfold.drops import kept_by_layer
from vidfold.folding.report import in_words
from vidfold.models.inner.dropper import decoder_layers
from vidfold.reducers import Identity, InnerReducer, Reducer
from vidfold.reducers.aot.clipwise import ClipwiseReducer
from vidfold.show.page import Film, Page, Skipped, View
from vidfold.show.trace import Trace
from vidfold.tokens import Reduction

READING = "language model"
"""The stage that reads the folded video and answers."""


def page(
    video: Encoded,
    methods: Sequence[Reducer],
    *,
    title: str,
    question: str | None = None,
    max_new_tokens: int = 64,
) -> Page:
    """Fold a video by several methods, and answer a question from each fold and from all tokens.

    Args:
        video: encoded for these methods.
        methods: the first one is shown first; one method with several budgets is one entry of the page, with a slider.
        title: of the page.
        question: in words; None asks nothing.
        max_new_tokens: length of an answer at most.

    Raises:
        ValueError: no method, an empty question, no room for an answer, or a method that does not fit the model.
    """
    if not methods:
        raise ValueError("methods must be at least one, got none")
    unfolded = None
    if question is not None:
        check_question(question)
        check_count("max_new_tokens", max_new_tokens)
        whole, _ = video.reduced(Identity())
        _answered(video, whole, question, 1)  # so that the first answer that is timed is not the first of all
        text, spent = _answered(video, whole, question, max_new_tokens)
        unfolded = text, {"encode": video.milliseconds["encode"], READING: spent}
    views = [view(video, each, question, max_new_tokens) for each in methods]
    return Page(film(video, title), views, question, unfolded, skipped(video))


def needs(methods: Iterable[Reducer]) -> frozenset[str]:
    """Optional fields of `VideoTokens` that any of these methods needs."""
    return frozenset[str]().union(*(method.needs for method in methods))


def budgets(method: Reducer, retentions: Iterable[float]) -> list[Reducer]:
    """The method with other budgets than its own, where it keeps a share."""
    own = getattr(method, "retention", None)
    settings: list[dict[str, Any]] = [{"retention": each} for each in retentions if each != own]
    return [] if own is None else [dataclasses.replace(method, **each) for each in settings]


def film(video: Encoded, title: str) -> Film:
    """The frames of a video for a page, with what there is to tell of it."""
    frames, loaded = video.frames, video.loaded
    # Some models read several frames as one.
    times = frames.timestamps[np.arange(video.tokens.frames) * len(frames) // video.tokens.frames]
    height, width = frames.pixels.shape[1:3]
    facts = [
        ("video", f"{frames.duration:.1f} s, {len(frames)} frames of {width} x {height}"),
        *(("note", note) for note in frames.notes),
        ("model", f"{loaded.name} on {loaded.model.device}"),
        ("encoded in", duration(video.milliseconds["encode"])),
        *([("tower", f"{described(video.tower)}")] if video.tower else []),
    ]
    return Film(title, frames.pixels, times.tolist(), facts)


def view(video: Encoded, method: Reducer, question: str | None = None, max_new_tokens: int = 64) -> View:
    """One fold of a video, and the answer from it if there is a question."""
    if isinstance(method, InnerReducer):
        return _inside(video, method, question, max_new_tokens)
    reduction, spent = video.reduced(method)
    answer, times = None, {"encode": video.milliseconds["encode"], "fold": spent}
    if question is not None:
        answer, times[READING] = _answered(video, reduction, question, max_new_tokens)
    trace = _trace(video, reduction)
    asked = getattr(method, "retention", None) or len(trace.places) / trace.full
    notes = [] if reduction.weights is not None else ["it adds tokens up, so there are no shares that sum to 1"]
    return View(method.name, described(method), asked, trace, _cuts(video, method), answer, times, notes)


def skipped(video: Encoded) -> Skipped | None:
    """What the vision tower did not compute of a video, where a tower method decided that."""
    if video.tower is None:
        return None
    (units,) = video.family.units(video.inputs)
    computed = video.tower.plan(units).computed.numpy()
    grids = {height * width: (height, width) for height, width in (video.tokens.language_grid, video.tokens.grid)}
    grid = grids.get(computed.shape[1], (1, computed.shape[1]))
    return Skipped(described(video.tower), ~computed, grid)


def _inside(video: Encoded, method: InnerReducer, question: str | None, max_new_tokens: int) -> View:
    """What there is to see of a method that drops tokens between layers: all tokens, and how many each layer reads."""
    trace = _trace(video, video.reduced(Identity())[0])
    depth = len(decoder_layers(video.loaded.model))
    layers = kept_by_layer(method.schedule(depth), depth, trace.full)
    answer, times = None, dict[str, float]()
    if question is not None:
        found = ask(video.loaded, video.frames, question, method, max_new_tokens=max_new_tokens, tower=video.tower)
        answer, times = found.text, found.milliseconds
    share = sum(layers) / (depth * trace.full)
    note = f"it works inside the language model, which is given all tokens: {in_words(layers, trace.full)}"
    return View(method.name, described(method), share, trace, (), answer, times, [note])


def _trace(video: Encoded, reduction: Reduction) -> Trace:
    return Trace.of(
        reduction.frames, reduction.cells, reduction.grid, reduction.full, reduction.weights, video.tokens.grid
    )


@torch.no_grad()
def _cuts(video: Encoded, method: Reducer) -> list[int]:
    """First frames of the method's clips after the first one, where it says how it cuts."""
    if not isinstance(method, ClipwiseReducer):
        return []
    clips = method.of(video.tokens.frames, video.tokens.cells).cut(video.tokens.only(method.needs))
    return clips.starts[(clips.lengths > 0) & (clips.starts > 0)].tolist()


def _answered(video: Encoded, reduction: Reduction, question: str, max_new_tokens: int) -> tuple[str, float]:
    """The answer from a fold, and the milliseconds of all that comes after the fold."""

    def answer() -> str:
        return video.read(reduction, "").ask(question, max_new_tokens=max_new_tokens)

    return timed(answer)

"""Score many settings on the same clips, fast: encode each clip once, read all its questions in one sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vidfold.bench.suites.cases import Case, Seen, encoded
from vidfold.bench.suites.entries import Entry
from vidfold.bench.suites.reading import Asked, right
from vidfold.reducers import Identity
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

FULL = "full"
"""Label of the unfolded video, in every result."""
Watcher = Callable[[int, int], None]

_FOLDS = 512  # folds collected before the language model reads them
_TOKENS = 8192  # tokens per batch of the language model


@dataclass(frozen=True, eq=False)
class Prepared:
    """The encoded clips of a case, to score many times.

    Attributes:
        clips: the clips, sorted by length.
        full: the score with all tokens.
    """

    clips: tuple[Seen, ...]
    full: Score


@torch.inference_mode()
def prepare(
    model: LlavaOnevisionForConditionalGeneration,
    case: Case,
    needs: Iterable[str] = ("shallow", "deep"),
    watch: Watcher | None = None,
) -> Prepared:
    """Encode all clips of a case, and answer their questions with all tokens.

    Args:
        model: the embedded model or its twin, in float32.
        case: the clips; its ``model`` is ignored.
        needs: optional fields of `VideoTokens` to fill.
        watch: called with (done, total) clips.
    """
    clips = []
    for clip in encoded(model, case, frozenset(needs)):
        clips.append(clip)
        if watch is not None:
            watch(len(clips), case.clips)
    full = _score(model, clips, case.clips, [Entry.of(FULL, Identity())], None)
    return Prepared(tuple(clips), full[FULL])


@torch.inference_mode()
def score(
    model: LlavaOnevisionForConditionalGeneration,
    clips: Case | Prepared,
    entries: Sequence[Entry],
    watch: Watcher | None = None,
) -> dict[str, Score]:
    """Fold every clip with every entry, and answer all its questions.

    Args:
        model: the embedded model or its twin, in float32.
        clips: a case, whose clips are encoded one by one and not kept, or the result of `prepare`.
        entries: the settings, each with a unique label.
        watch: called with (done, total) clips.

    Returns:
        Label -> score; the first is ``FULL``, with all tokens.

    Raises:
        ValueError: two entries with the same label, or a needed field that the model or `prepare` does not give.
    """
    labels = [FULL, *(entry.label for entry in entries)]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise ValueError(f"entries need unique labels other than {FULL!r}; given twice: {sorted(twice)[0]!r}")
    if isinstance(clips, Prepared):
        return {FULL: clips.full} | _score(model, clips.clips, len(clips.clips), entries, watch)
    needs = frozenset[str]().union(*(entry.needs for entry in entries))
    chosen = [Entry.of(FULL, Identity()), *entries]
    return _score(model, encoded(model, clips, needs), clips.clips, chosen, watch)


def _score(
    model: LlavaOnevisionForConditionalGeneration,
    clips: Iterable[Seen],
    count: int,
    entries: Sequence[Entry],
    watch: Watcher | None,
) -> dict[str, Score]:
    shape = (len(entries), count)
    correct = np.zeros((*shape, len(KINDS)), np.int64)
    asked = np.zeros((count, len(KINDS)), np.int64)
    kept = np.zeros(shape)
    done, stream = 0, iter(clips)
    while window := list(itertools.islice(stream, max(1, _FOLDS // max(1, len(entries))))):
        folds = []
        for clip in window:
            asked[clip.place] = clip.asked.counts().numpy()
            for number, entry in enumerate(entries):
                tokens = clip.tokens.only(entry.needs)
                reduction = entry.make(tokens, clip.seed)(tokens)
                kept[number, clip.place] = reduction.retention
                folds.append(_Fold(number, clip.place, reduction.tokens, clip.asked))
        for batch in _batches(folds):
            visual = torch.stack([fold.tokens for fold in batch])
            counts = right(model, visual, [fold.asked for fold in batch])
            for fold, found in zip(batch, counts, strict=True):
                correct[fold.entry, fold.place] = found.numpy()
        done += len(window)
        if watch is not None:
            watch(done, count)
    return {entry.label: Score(correct[number], asked, kept[number]) for number, entry in enumerate(entries)}


@dataclass(frozen=True, eq=False)
class _Fold:
    """The (K, D) tokens of one clip (index ``place``) folded by one entry (its index)."""

    entry: int
    place: int
    tokens: Tensor
    asked: Asked


def _batches(folds: Sequence[_Fold]) -> Iterator[list[_Fold]]:
    """Batches of folds with the same number of tokens, sorted by question length."""
    batch: list[_Fold] = []
    for fold in sorted(folds, key=lambda fold: (len(fold.tokens), len(fold.asked))):
        rows = _TOKENS // (len(fold.tokens) + len(fold.asked))
        if batch and (len(batch[0].tokens) != len(fold.tokens) or len(batch) >= rows):
            yield batch
            batch = []
        batch.append(fold)
    if batch:
        yield batch

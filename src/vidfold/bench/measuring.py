"""All measures of one setting on one clip; each clip is encoded and answered unfolded once for all settings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vidfold import models
from vidfold.app.loading import VideoModel
from vidfold.bench.agreement import Reference
from vidfold.bench.answers import counts
from vidfold.bench.features import features
from vidfold.bench.sources import Sample
from vidfold.reducers.inner import InnerReducer
from vidfold.tiny.evaluate import Setting
from vidfold.tokens import VideoTokens

DRAW_STRIDE = 1_000_003
"""Difference of a clip's random seeds for consecutive bench seeds; larger than the number of clips."""

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A clip after encoding, with its unfolded answers."""

    sample: Sample
    tokens: VideoTokens
    reference: Reference

    @classmethod
    def of(cls, loaded: VideoModel, sample: Sample, needs: frozenset[str], max_new_tokens: int) -> Prepared:
        """Encode with the optional fields ``needs``, and answer every question with all tokens."""
        (tokens,) = models.encode(loaded.model, sample.video, needs)
        reference = Reference.of(loaded.model, sample.prompts, tokens, max_new_tokens=max_new_tokens)
        return cls(sample, tokens, reference)

    @property
    def asked(self) -> NDArray[np.int64]:
        """Questions of each kind whose true answer is known, (kinds,)."""
        return counts(self.sample.kinds)

    def right(self, answers: torch.Tensor) -> NDArray[np.int64]:
        """Number of right answers of each kind, (kinds,), from the first tokens (Q,) of answers."""
        assert self.sample.truth is not None  # callers check
        return counts(self.sample.kinds, (answers.cpu() == self.sample.truth).numpy())


@dataclass(frozen=True, eq=False)
class Outcome:
    """One setting on one clip.

    For a method inside the language model, feature measures and fold time are None.

    Attributes:
        clip: name of the clip.
        tokens_before: F*N.
        tokens_after: K, the number of tokens given to the language model.
        layer_retention: share of the F*N tokens that the layers of the language model read, averaged over layers:
            K / F*N, except for methods inside it.
        divergence: see `vidfold.bench.agreement`.
        top1: see `vidfold.bench.agreement`.
        right: right answers of each kind, (kinds,); None if the true answers are not known.
        fold_ms: wall-clock milliseconds of the method itself.
        quantisation_error: see `vidfold.bench.features`.
        coverage: see `vidfold.bench.features`.
        transport: see `vidfold.bench.features`.
    """

    clip: str
    tokens_before: int
    tokens_after: int
    layer_retention: float
    divergence: float
    top1: float
    right: NDArray[np.int64] | None
    fold_ms: float | None = None
    quantisation_error: float | None = None
    coverage: float | None = None
    transport: float | None = None


def measure(clip: Prepared, setting: Setting, seed: int) -> Outcome:
    """Fold the clip once and take all measures.

    Raises:
        ValueError: the method cannot fold this clip.
    """
    reducer = setting.reducer(clip.tokens, clip.sample.draw + DRAW_STRIDE * seed)
    before = clip.tokens.frames * clip.tokens.cells
    facts: dict[str, Any]
    if isinstance(reducer, InnerReducer):
        scores, share = clip.reference.folded_inside(reducer, clip.sample.video)
        facts = {"tokens_after": before, "layer_retention": share}
    else:
        tokens = clip.tokens.only(reducer.needs)
        reduction, milliseconds = _timed(lambda: reducer(tokens), tokens.features.device)
        scores = clip.reference.folded(reduction)
        facts = {"tokens_after": len(reduction) - reduction.newlines, "layer_retention": reduction.retention}
        facts |= {"fold_ms": milliseconds} | dataclasses.asdict(features(tokens, reduction))
    return Outcome(
        clip=clip.sample.name,
        tokens_before=before,
        right=None if clip.sample.truth is None else clip.right(clip.reference.answers(scores)),
        **dataclasses.asdict(clip.reference.agreement(scores)),
        **facts,
    )


def _timed(call: Callable[[], _T], device: torch.device) -> tuple[_T, float]:
    """Result of the call, and its milliseconds, including all work on the device."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1000 * time.perf_counter()

    start = now()
    result = call()
    return result, now() - start

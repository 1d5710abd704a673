"""The folding of one call: encode its videos, reduce them, and put the result into its inputs."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from vidfold.drops import Drop, kept_by_layer
from vidfold.folding.caches import MARK, Prompt, refusal, remember
from vidfold.folding.gradients import with_gradients, without_gradients
from vidfold.folding.inside import inside
from vidfold.folding.report import Clock, Report
from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.models.cache import cache_of, held, noted
from vidfold.models.inner.dropper import Dropper, decoder_layers
from vidfold.models.inner.run import Run
from vidfold.models.partial.encoding import Spent, encode
from vidfold.models.prompts.shorten import real
from vidfold.reducers.base import Reducer
from vidfold.reducers.baselines import Identity
from vidfold.reducers.inner import InnerReducer
from vidfold.tokens import Reduction, VideoTokens
from vidfold.tower import TowerMethod

_LOG = logging.getLogger(__name__)


class Fold(Protocol):
    """What folds one video: a `vidfold.Reducer`, or any function of this form.

    Optional attributes: ``needs``, names of `VideoTokens` fields it cannot do without; ``retention``.
    """

    def __call__(self, tokens: VideoTokens, /) -> Reduction:
        """Fold one video."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call as the model is to run it.

    Attributes:
        inputs: keyword arguments.
        prompt: what was folded; None in a call that passes through.
        run: what is dropped inside the language model, if anything.
        warnings: what to tell the caller.
        report: of the fold; None in a call that passes through.
    """

    inputs: dict[str, Any]
    prompt: Prompt | None = None
    run: Run | None = None
    warnings: tuple[str, ...] = ()
    report: Report | None = None


class Folder:
    """What folds the calls of one model.

    Attributes:
        model: the model; the same object throughout.
        reducer: what folds.
        family: how the model's tokens are taken out and put back.
        images: whether images are folded too.
        tower: what decides which units of videos the vision tower computes; None: all.
        weights: whether reductions say where tokens went.
        drops: of a method that works inside the language model; else empty.
        dropper: what makes them, while the model is folded.
        last: what the last call did; None before the first.
    """

    def __init__(
        self,
        model: Any,
        reducer: Fold,
        family: Family,
        *,
        images: bool = False,
        tower: TowerMethod | None = None,
        weights: bool = False,
    ) -> None:
        self.model, self.reducer, self.family, self.images, self.tower = model, reducer, family, images, tower
        self.weights = weights
        inner = reducer if isinstance(reducer, InnerReducer) else None
        self.drops: tuple[Drop, ...] = inner.schedule(len(decoder_layers(model))) if inner else ()
        self.dropper: Dropper | None = None
        self.last: Report | None = None
        # A compiled model calls these as they are: tracing them would cost more than they do.
        self.begin, self.remember = map(torch.compiler.disable, (self._begin, remember))
        self._needs: frozenset[str] = frozenset(getattr(reducer, "needs", ()))
        self._outside: Fold = Identity() if inner else reducer

    def folds(self, inputs: Inputs) -> bool:
        """Whether a call carries something to fold; a ValueError where that comes with what folding cannot serve."""
        if not self.family.has_video(inputs) and not (self.images and self.family.has_images(inputs)):
            return False
        if inputs.get("inputs_embeds") is not None:
            raise ValueError(
                f"inputs_embeds of shape {tuple(inputs['inputs_embeds'].shape)} came with video: folding needs "
                "input_ids, to find the places of the video in the prompt"
            )
        if (inputs.get("mm_encoder_outputs") or {}).get("video") is not None:
            raise ValueError("mm_encoder_outputs holds a video beside pixels of a video: give one of them")
        if (length := held(cache_of(inputs))) > 0:
            raise ValueError(
                f"the cache of the call holds {length} tokens: a video cannot be folded behind them; give the whole "
                "conversation and the video, without a cache"
            )
        return True

    def pass_through(self, inputs: Inputs) -> None:
        """Note a call without video."""
        tokens = (inputs.get(name) for name in ("input_ids", "inputs_embeds"))
        length = next((each.shape[1] for each in tokens if isinstance(each, torch.Tensor)), 0)
        self.last = Report((), length, length)

    def _begin(self, forward: Callable[..., Any], given: Inputs) -> Call:
        """What a forward of the model is to run, where it is no mere decoding step."""
        family = self.family
        inputs = family.prepared(given)
        if self.folds(inputs):
            rest = {name: value for name, value in inputs.items() if name not in family.pixels | family.said}
            call: Call = inside(forward, rest, lambda: self.fold(inputs))
            return call
        encoded = (inputs.get("mm_encoder_outputs") or {}).get("video")
        if encoded is not None and self.dropper is not None and not self.dropper.active:
            raise ValueError(f"mm_encoder_outputs holds a video, but {self.reducer!r} needs its pixels: give those")
        rest = {name: value for name, value in given.items() if name not in family.said}
        cache = cache_of(inputs)
        prompt: Prompt | None = noted(cache, MARK)
        if prompt is not None:
            ids = inputs.get("input_ids")
            if ids is not None and ids.shape[1] > 1 and not prompt.unchanged and bool(family.places(inputs).any()):
                raise ValueError(refusal(held(cache)))
            rest = prompt.continued(rest, held(cache))
        elif cache is None and not inputs.get("mm_encoder_outputs"):
            self.pass_through(inputs)
        return Call(rest)

    def fold(self, inputs: Inputs) -> Call:
        """Fold the videos of a call."""
        family = self.family
        clock = Clock(self.model.device)
        videos, spent = self._encoded(inputs) if family.has_video(inputs) else ([], None)
        images = self.images and family.has_images(inputs)
        pictures = family.encode_images(inputs, self._needs, gradients=True) if images else []
        clock.mark()
        reductions, warnings = self._reduced([*videos, *pictures])
        folded = tuple(family.arranged(each) for each in reductions[: len(videos)])
        shown = tuple(family.arranged_images(inputs, reductions[len(videos) :])) if images else ()
        clock.mark()
        spliced = family.splice(inputs, folded, shown if images else None)
        said = {name: inputs[name] for name in family.said if name in inputs}
        run, layers = self._plan(spliced | said, folded)
        clock.mark()
        sizes = inputs["input_ids"].shape[1], spliced["input_ids"].shape[1]
        kept = tuple(map(without_gradients, folded + shown))
        report = Report(
            kept,
            *sizes,
            closing=family.closing,
            clock=clock,
            layers=layers,
            images=len(shown),
            tower=spent,
            method=repr(self.reducer),
        )
        self.last = report
        _LOG.debug("%s", report)  # as text, and so waiting for the device, only where it is shown
        kept_all = all(len(each) >= each.full and each.retention >= 1 for each in reductions)
        share = getattr(self.reducer, "retention", 1.0)  # None: the method keeps a number of tokens
        if kept_all and not (run and run.limits) and (share is None or share < 1.0):
            warnings.append(f"{self.reducer!r} kept all of {report.before} tokens: nothing was folded")
        return Call(spliced, Prompt.of(inputs, spliced), run, tuple(warnings), report)

    def _encoded(self, inputs: Inputs) -> tuple[list[VideoTokens], Spent | None]:
        """The videos of a call, and what the tower computed of them where a tower method decides that."""
        if self.tower is None:
            return self.family.encode(inputs, self._needs, gradients=True), None
        return encode(self.family, inputs, self._needs, self.tower, gradients=True)

    def _reduced(self, videos: Sequence[VideoTokens]) -> tuple[list[Reduction], list[str]]:
        """The videos reduced, with gradients where they have some, and what to warn of."""
        trains = torch.is_grad_enabled() and any(each.features.requires_grad for each in videos)
        fold = self._outside
        if isinstance(fold, Reducer):
            reductions = fold.many(videos, weights=trains or self.weights)
        else:
            reductions = [fold(each) for each in videos]
        for each in reductions:
            if not isinstance(each, Reduction):
                raise ValueError(f"{self.reducer!r} must return a vidfold.Reduction, not {type(each).__name__}")
        warnings: list[str] = []
        for number, (video, each) in enumerate(zip(videos, reductions, strict=True)):
            if not trains or each.tokens.requires_grad:
                continue
            if each.weights is not None:
                carrying = with_gradients(each, video)
                reductions[number] = replace(carrying, weights=each.weights) if self.weights else carrying
            elif not warnings:
                warnings.append(
                    f"{self.reducer!r} gives no Reduction.weights: the projector and the vision tower get no gradients"
                )
        return reductions, warnings

    def _plan(self, inputs: Inputs, reductions: tuple[Reduction, ...]) -> tuple[Run | None, tuple[int, ...]]:
        """What is dropped from a call inside the language model, and how many visual tokens each layer reads."""
        if not self.drops:
            return None, ()
        if (mask := inputs.get("attention_mask")) is not None and mask.ndim != 2:
            raise ValueError(f"{self.reducer!r} needs an attention_mask of (batch, length), got {tuple(mask.shape)}")
        places, labels = self.family.places(inputs), inputs.get("labels")
        run = Run.of(places, real(inputs), reductions, self.family.closing, self.drops, labels)
        kept = [kept_by_layer(self.drops, len(decoder_layers(self.model)), each.full) for each in reductions]
        return run, tuple(map(sum, zip(*kept, strict=True)))

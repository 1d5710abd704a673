"""Fold a model: its own ``generate`` and ``forward`` read every video in fewer tokens."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from vidfold import models
from vidfold.drops import kept_by_layer
from vidfold.folding.calls import cached, lengths, named, restore
from vidfold.folding.report import Clock, Report
from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.models.cache import cache_of
from vidfold.models.hooks import Hook
from vidfold.models.inner.dropper import Dropper, decoder_layers
from vidfold.models.inner.run import Run
from vidfold.reducers.baselines import Identity
from vidfold.reducers.inner import InnerReducer
from vidfold.tokens import Reduction, VideoTokens


class Fold(Protocol):
    """What folds one video: a `vidfold.Reducer`, or any function of this form.

    Optional attributes: ``needs``, names of `VideoTokens` fields it cannot do without; ``retention``.
    """

    def __call__(self, tokens: VideoTokens, /) -> Reduction:
        """Fold one video."""


class Folded:
    """A model whose calls are folded until `remove`, or to the end of a ``with`` block; see `fold`.

    Attributes:
        model: the model; the same object throughout.
        reducer: what folds.
        family: how the model's tokens are taken out and put back.
        images: whether images are folded too.
        last: what the last call did; None before the first.
    """

    def __init__(self, model: Any, reducer: Fold, family: Family, *, images: bool = False) -> None:
        self.model, self.reducer, self.family, self.images = model, reducer, family, images
        self.last: Report | None = None
        self._needs: frozenset[str] = frozenset(getattr(reducer, "needs", ()))
        inner = reducer if isinstance(reducer, InnerReducer) else None
        self._outside = Identity() if inner else reducer
        self._dropper = Dropper(model, inner.schedule(len(decoder_layers(model)))) if inner else None
        self._previous = model.__dict__.get("generate")
        self._generate = _Generate(self, model.generate)
        model.generate = self._generate
        self._hook = model.register_forward_pre_hook(Hook(self._before_forward), with_kwargs=True)

    def __enter__(self) -> Folded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Leave the model as it was before; a second call does nothing."""
        self._hook.remove()
        if self._dropper is not None:
            self._dropper.remove()
        # Who wrapped generate after us keeps that wrapper; ours below it passes everything through from now on.
        if self._generate.folded is not None and self.model.__dict__.get("generate") is self._generate:
            if self._previous is None:
                del self.model.generate
            else:
                self.model.generate = self._previous
        self._generate.folded = None

    def fold_inputs(self, inputs: Inputs) -> dict[str, Any]:
        """Fold the videos of a call: keyword arguments for the model's own ``generate`` or ``forward``.

        Raises:
            ValueError: inputs that do not fit together, a reducer that does not return a `Reduction`, or one that
                works inside the language model.
        """
        if self._dropper is not None:
            raise ValueError(f"{self.reducer!r} folds inside the language model: call generate or the model itself")
        return self._fold(self.family.prepared(inputs))[0]

    @torch.no_grad()
    def _fold(self, inputs: Inputs) -> tuple[dict[str, Any], Run | None]:
        """The inputs folded, and what is to be dropped from them inside the language model."""
        if inputs.get("inputs_embeds") is not None:
            raise ValueError(
                f"inputs_embeds of shape {tuple(inputs['inputs_embeds'].shape)} came with video: folding needs "
                "input_ids, to find the places of the video in the prompt"
            )
        if (inputs.get("mm_encoder_outputs") or {}).get("video") is not None:
            raise ValueError("mm_encoder_outputs holds a video beside pixels of a video: give one of them")
        self.check_continues(inputs)
        clock = Clock(self.model.device)
        videos = self.family.encode(inputs, self._needs) if self.family.has_video(inputs) else []
        images = self.images and self.family.has_images(inputs)
        pictures = self.family.encode_images(inputs, self._needs) if images else []
        clock.mark()
        reductions = tuple(self._outside(each) for each in [*videos, *pictures])
        for each in reductions:
            if not isinstance(each, Reduction):
                raise ValueError(f"{self.reducer!r} must return a vidfold.Reduction, not {type(each).__name__}")
        folded = tuple(self.family.arranged(each) for each in reductions[: len(videos)])
        shown = tuple(self.family.arranged_images(inputs, reductions[len(videos) :])) if images else ()
        clock.mark()
        spliced = self.family.splice(inputs, folded, shown if images else None)
        said = {name: inputs[name] for name in self.family.said if name in inputs}
        run, layers = self._plan(spliced | said, folded)
        clock.mark()
        sizes = inputs["input_ids"].shape[1], spliced["input_ids"].shape[1]
        self.last = Report(
            folded + shown, *sizes, closing=self.family.closing, clock=clock, layers=layers, images=len(shown)
        )
        kept_all = all(len(each) >= each.full and each.retention >= 1 for each in reductions)
        kept_all = kept_all and not (run and run.limits)
        if kept_all and getattr(self.reducer, "retention", 1.0) < 1.0:
            warnings.warn(
                f"{self.reducer!r} kept all of {self.last.before} tokens: nothing was folded", UserWarning, stacklevel=4
            )
        return spliced, run

    def _plan(self, inputs: Inputs, reductions: tuple[Reduction, ...]) -> tuple[Run | None, tuple[int, ...]]:
        """What is dropped from a call inside the language model, and how many visual tokens each layer reads."""
        if self._dropper is None:
            return None, ()
        places, drops = self.family.places(inputs), self._dropper.drops
        run = Run.of(places, inputs["attention_mask"], reductions, self.family.closing, drops, inputs.get("labels"))
        depth = len(decoder_layers(self.model))
        kept = [kept_by_layer(drops, depth, each.full) for each in reductions]
        return run, tuple(map(sum, zip(*kept, strict=True)))

    def folds(self, inputs: Inputs) -> bool:
        """Whether a call carries something to fold."""
        return self.family.has_video(inputs) or (self.images and self.family.has_images(inputs))

    def unsaid(self, inputs: Inputs) -> dict[str, Any]:
        """The inputs that the model takes itself."""
        return {name: value for name, value in inputs.items() if name not in self.family.said}

    def pass_through(self, inputs: Inputs) -> None:
        """Note a call without video."""
        ids = inputs.get("input_ids")
        ids = inputs.get("inputs_embeds") if ids is None else ids
        length = ids.shape[1] if isinstance(ids, Tensor) else 0
        self.last = Report((), length, length)

    def check_continues(self, inputs: Inputs) -> None:
        """Refuse to continue a cache over a prompt with video: a folded cache is shorter than its prompt."""
        length = cached(inputs)
        ids = inputs.get("input_ids")
        if length > 0 and (self.family.has_video(inputs) or (ids is not None and self.family.holds_places(ids))):
            raise ValueError(
                f"the cache of the call holds {length} tokens: a folded cache is shorter than its prompt and cannot be "
                "continued with one; give the whole conversation and the video, without a cache"
            )

    def _before_forward(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        inputs = self.family.prepared(named(model, "forward", args, kwargs) if args else kwargs)
        if self.folds(inputs):
            spliced, run = self._fold(inputs)
            if self._dropper is not None and run is not None:
                self._dropper.read_once(run, spliced)
            return (), spliced
        encoded = (inputs.get("mm_encoder_outputs") or {}).get("video")
        if encoded is not None and self._dropper is not None and not self._dropper.active:
            raise ValueError(f"mm_encoder_outputs holds a video, but {self.reducer!r} needs its pixels: give those")
        if cache_of(inputs) is None and not inputs.get("mm_encoder_outputs"):
            self.pass_through(inputs)
        return args, self.unsaid(kwargs)


class _Generate:
    """The model's own ``generate`` with folding in front, as an attribute of one instance."""

    def __init__(self, folded: Folded, stock: Callable[..., Any]) -> None:
        self.folded: Folded | None = folded
        self.stock = stock
        functools.update_wrapper(self, stock)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # A copy of the model, deep or pickled, is unfolded: its generate is the stock one, bound to the copy.
        return _same, (self.stock,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.folded is None:
            return self.stock(*args, **kwargs)
        inputs = named(self.folded.model, "generate", args, kwargs)
        if inputs.get("input_ids") is None and inputs.get("inputs") is not None:
            inputs["input_ids"] = inputs.pop("inputs")
        folded = self.folded
        inputs = dict(folded.family.prepared(inputs))
        if not folded.folds(inputs):
            folded.check_continues(inputs)
            output = self.stock(*args, **folded.unsaid(kwargs))
            folded.pass_through(inputs)
            return output
        spliced, run = folded._fold(inputs)
        full, short = inputs["input_ids"], spliced["input_ids"]
        spliced |= lengths(spliced, folded.model.generation_config, full.shape[1] - short.shape[1])
        with ExitStack() as stack:
            if folded._dropper is not None and run is not None:
                run.trims = cache_of(spliced) is None
                stack.enter_context(folded._dropper.reading(run))
                spliced["disable_compile"] = True  # a decoder compiled before would run without its new hooks
            output = self.stock(**spliced)
        return restore(output, full, short.shape[1])


def fold(model: Any, reducer: Fold, *, family: Family | None = None, images: bool = False) -> Folded:
    """Fold every video that ``model.generate(...)`` or ``model(...)`` is given.

    Use it as ``with fold(model, AOT(retention=0.1)) as folded:`` or keep the handle and call ``folded.remove()``.
    The model object stays the same and is afterwards as before; its class and every other model are never touched.
    Copies of it, deep or pickled, and what it saves are unfolded. Several threads may call it at once.

    Calls with video pixels are folded, all others (text, images, decoding steps) pass through unchanged. ``generate``
    runs on the shortened prompt, with a cache as short, and returns the prompt as it was given in front of the answer,
    so that ``output[:, input_ids.shape[1]:]`` is the answer; ``max_length`` and ``min_length`` count the prompt as
    given. Logits processors, stopping criteria and streamers see the shortened prompt; attentions and hidden states are
    those of it. ``model(...)`` returns logits of the shortened sequence, and ``labels`` lose the same positions. The
    vision side and the folding itself run without gradients; the language model may be trained.

    A method that works inside the language model (`vidfold.reducers.inner.InnerReducer`, such as FastV) is given like
    any other. The language model then reads the whole prompt and its later layers fewer tokens of it: their caches are
    shorter, logits and labels are those of the tokens that the last layer read, and ``handle.last.layers`` counts them.
    The last token of the prompt ranks; in a call with ``labels``, the one before the first label after the video.
    ``prefill_chunk_size`` is refused, since the ranking needs the whole prompt.

    Args:
        model: a transformers model of a supported family (`vidfold.models.FAMILIES`), with ``generate``.
        reducer: a `vidfold.Reducer`, or any function from `VideoTokens` to `Reduction`.
        family: the family with choices other than its defaults, e.g. ``LlavaOnevision(model, deep_layer=-1)``.
        images: fold images as well, each as a video of one frame; by default they are left whole.

    Returns:
        The handle; ``handle.last`` reports on the last call.

    Raises:
        ValueError: an unsupported or already folded model, a reducer that is not callable, needs what the family cannot
            give or layers the language model does not have; later, from calls, inputs that do not fit together.
    """
    if not callable(reducer):
        raise ValueError(f"a reducer must be callable, such as vidfold.Random(0.1); got {reducer!r}")
    family = models.family(model) if family is None else family
    if family.model is not model:
        raise ValueError(f"family was made for another {type(family.model).__name__} object than the one to fold")
    if not callable(getattr(model, "generate", None)):
        raise ValueError(f"{type(model).__name__} has no generate: load the class with a language-model head")
    for hook in model._forward_pre_hooks.values():
        function = hook.function if isinstance(hook, Hook) else None
        if isinstance(active := getattr(function, "__self__", None), Folded):
            raise ValueError(
                f"this {type(model).__name__} is already folded by {active.reducer!r}: remove that handle first"
            )
    family.check_needs(frozenset(getattr(reducer, "needs", ())))
    if images and not family.folds_images:
        raise ValueError(f"images of {family.model_type} cannot be folded: leave images=True out")
    if images and isinstance(reducer, InnerReducer):
        raise ValueError(f"{reducer!r} works inside the language model and drops tokens of videos only: no images=True")
    if isinstance(reducer, InnerReducer):
        first = min(drop.layer for drop in reducer.schedule(len(decoder_layers(model))))
        if first < family.side_levels:
            raise ValueError(
                f"{reducer!r} drops tokens before layer {first}, but {family.model_type} adds features to all of them "
                f"up to layer {family.side_levels - 1} (DeepStack): drop from layer {family.side_levels} on"
            )
    return Folded(model, reducer, family, images=images)


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function

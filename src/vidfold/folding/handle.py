"""Fold a model: its own ``generate`` and ``forward`` read every video in fewer tokens."""

from collections.abc import Sequence
from typing import Any

import torch

from vidfold import models
from vidfold.folding.folder import Fold, Folder
from vidfold.folding.methods import Wrapped
from vidfold.folding.running import forward, generate, tell
from vidfold.models import Family
from vidfold.models.builds import unwrapped
from vidfold.models.inner.dropper import Dropper
from vidfold.reading.limits import Limits
from vidfold.reading.prompts import single
from vidfold.reading.stream import Stream
from vidfold.reading.video import FoldedVideo
from vidfold.reading.wording import Wording
from vidfold.reducers import AOT, get
from vidfold.reducers.inner import InnerReducer
from vidfold.tower import TowerMethod


class Folded(Folder):
    """A model whose calls are folded until `remove`, or to the end of a ``with`` block; see `fold`.

    After `remove`, a ``with`` block folds it again. Attributes are those of `Folder`.
    """

    _methods: tuple[Wrapped, ...] = ()
    _entered = False

    def __repr__(self) -> str:
        state = "" if self._methods else ", removed"
        last = f", last call: {self.last}" if self.last else ""
        return f"Folded({type(self.model).__name__}, {self.reducer!r}{state}{last})"

    def _start(self) -> "Folded":
        """Fold the model's calls from now on; a ValueError where another handle does."""
        for method in (vars(self.model).get(name) for name in ("generate", "forward")):
            if isinstance(method, Wrapped) and method.owner is not None:
                raise ValueError(
                    f"this {type(self.model).__name__} is already folded by {method.owner.reducer!r}: remove that "
                    "handle first"
                )
        self.dropper = Dropper(self.model, self.drops) if self.drops else None
        self._methods = tuple(Wrapped(self.model, each.__name__, self, each) for each in (generate, forward))
        return self

    def remove(self) -> None:
        """Put the model back as it was before; a second call does nothing."""
        for method in self._methods:
            method.remove()
        self._methods = ()
        if self.dropper is not None:
            self.dropper.remove()

    def __enter__(self) -> "Folded":
        if self._entered:
            raise ValueError("this handle is in a with block already: end that block first")
        if not self._methods:
            self._start()
        self._entered = True
        return self

    def __exit__(self, *error: object) -> None:
        self._entered = False
        self.remove()

    @torch.no_grad()
    def read(
        self,
        processor: Any = None,
        *,
        times: Sequence[float] | None = None,
        duration: float | None = None,
        **inputs: Any,
    ) -> FoldedVideo:
        """Read a prompt up to its question: encode, fold and prefill it once, to ask any number of questions.

        Answers are those of folding the whole prompt in one call. What is returned needs this fold no more.

        Args:
            processor: words the questions; without it they are token ids, for `FoldedVideo.generate`.
            times: seconds of the frames; models that are told them need them.
            duration: of the video in seconds, likewise.
            inputs: of the processor: one prompt that ends where questions begin (`Wording.opening`), and its video.

        Raises:
            ValueError: no video, several prompts, a prompt with a question although a processor is given, a method that
                works inside the language model and so needs the question, or inputs that do not fit together.
        """
        if self.drops:
            raise ValueError(
                f"{self.reducer!r} ranks tokens by the question, so nothing can be read before there is one: use a "
                "method that works before the language model"
            )
        wording = None if processor is None else Wording(processor)
        given = single(self.family, inputs, wording)
        if not self.family.has_video(given):
            raise ValueError(f"inputs carry no video to read; they have: {', '.join(sorted(inputs)) or 'nothing'}")
        self.folds(given)
        call = self.fold(given)
        tell(call, 4)
        assert call.report is not None
        return FoldedVideo.of(
            self.family,
            given,
            call.inputs,
            call.report.reductions[: len(call.report.reductions) - call.report.images],
            method=repr(self.reducer),
            times=None if times is None else tuple(map(float, times)),
            duration=duration,
            wording=wording,
        )

    def stream(self, processor: Any, *, max_tokens: int = 4096, recent: int = 4, block: int = 4) -> Stream:
        """A video that goes on, in memory that does not grow.

        Recent frames stay whole, older ones are folded, and again as they age; see `vidfold.reading.Stream`. What is
        returned needs this fold no more.

        Args:
            processor: of the model; it makes inputs of frames and words the questions.
            max_tokens: visual tokens that the language model reads at most, newlines not counted.
            recent: frames that stay whole.
            block: frames that are encoded and folded together.

        Raises:
            ValueError: a family whose prompts have text between frames, a method without an exact retention, or counts
                below 1.
        """
        limits = Limits(max_tokens=max_tokens, recent=recent, block=block)
        return Stream(self.family, self.reducer, Wording(processor), limits)


def fold(
    model: Any,
    reducer: Fold | float | str,
    *,
    family: Family | None = None,
    images: bool = False,
    tower: TowerMethod | None = None,
    weights: bool = False,
) -> Folded:
    """Fold every video that ``model.generate(...)`` or ``model(...)`` is given.

    Use it as ``with fold(model, AOT(retention=0.1)) as folded:`` or keep the handle and call ``folded.remove()``.
    The model object stays the same and is afterwards as before; its class and every other model are never touched.
    Copies of it, deep or pickled, and what it saves are unfolded. Several threads may call it at once.

    Calls with video pixels are folded, all others (text, images, decoding steps) pass through unchanged. ``generate``
    runs on the shortened prompt, with a cache as short, and returns the prompt as it was given in front of the answer,
    so that ``output[:, input_ids.shape[1]:]`` is the answer; ``max_length`` and ``min_length`` count the prompt as
    given. Logits processors, stopping criteria and streamers see the shortened prompt; attentions and hidden states are
    those of it. ``model(...)`` returns logits of the shortened sequence, and ``labels`` lose the same positions.
    Decoding steps of your own over its cache take the mask of the prompt as given, or that of the shortened prompt.

    The whole model may be trained: the method decides without gradients which tokens go where, and the folded tokens
    carry gradients to the projector and the vision tower by its ``Reduction.weights``.

    A method that works inside the language model (`vidfold.reducers.inner.InnerReducer`, such as FastV) is given like
    any other. The language model then reads the whole prompt and its later layers fewer tokens of it: their caches are
    shorter, logits and labels are those of the tokens that the last layer read, and ``handle.last.layers`` counts them.
    The last token of the prompt ranks; in a call with ``labels``, the one before the first label after the video.
    ``prefill_chunk_size`` is refused, since the ranking needs the whole prompt.

    Args:
        model: a transformers model of a supported family (`vidfold.models.FAMILIES`), with ``generate``; or what
            ``torch.compile``, PEFT or DistributedDataParallel made of it, whose inner model is folded.
        reducer: a `vidfold.Reducer`, or any function from `VideoTokens` to `Reduction`. In short, a share of the tokens
            such as 0.1 is `AOT` with that retention, and a name such as "tome" is that method with its defaults.
        family: the family with choices other than its defaults, e.g. ``LlavaOnevision(model, deep_layer=-1)``.
        images: fold images as well, each as a video of one frame; by default they stay whole.
        tower: what decides, from pixels, which part of every video the vision tower computes, such as
            `vidfold.tower.Still`; by default it computes all. ``handle.last.tower`` has the share computed.
        weights: also compute the ``Reduction.weights`` of every call, with which ``handle.last.show()`` tells where
            tokens went; it waits for the device once.

    Returns:
        The handle; ``handle.last`` reports on the last call.

    Raises:
        ValueError: an unsupported or already folded model, a reducer that is no method, needs what the family cannot
            give or layers the language model does not have; later, from calls, inputs that do not fit together.
    """
    reducer = _method(reducer)
    model = unwrapped(model)
    family = models.family(model) if family is None else family
    if family.model is not model:
        raise ValueError(f"family was made for another {type(family.model).__name__} object than the one to fold")
    if not callable(getattr(model, "generate", None)):
        raise ValueError(f"{type(model).__name__} has no generate: load the class with a language-model head")
    family.check_needs(frozenset(getattr(reducer, "needs", ())))
    if images and isinstance(reducer, InnerReducer):
        raise ValueError(f"{reducer!r} works inside the language model and drops tokens of videos only: no images=True")
    if tower is not None and not isinstance(tower, TowerMethod):
        raise ValueError(f"tower must be a tower method, such as vidfold.tower.Still(), got {tower!r}")
    folded = Folded(model, reducer, family, images=images, tower=tower, weights=weights)
    first = min((drop.layer for drop in folded.drops), default=family.side_levels)
    if first < family.side_levels:
        raise ValueError(
            f"{reducer!r} drops tokens before layer {first}, but {family.model_type} adds features to all of them "
            f"up to layer {family.side_levels - 1} (DeepStack): drop from layer {family.side_levels} on"
        )
    return folded._start()


def _method(reducer: Fold | float | str) -> Fold:
    """What folds: as given, or `AOT` for a share of the tokens, or a method by its name."""
    if isinstance(reducer, str):
        return get(reducer)
    if isinstance(reducer, float):
        return AOT(retention=reducer)
    if not callable(reducer):
        raise ValueError(
            "a reducer must be a method such as vidfold.AOT(retention=0.1) or vidfold.AOT(tokens=1024), the name of "
            f"one, or a share of the tokens such as 0.1; got {reducer!r}"
        )
    return reducer

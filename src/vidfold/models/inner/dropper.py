"""Tokens dropped between decoder layers: hooks on one decoder that shorten what its later layers are given.

The layer that drops ranks the tokens (`ranking`) and keeps some (`run`). From there on, states, rotary embeddings,
position ids, mask and cache are those of the kept tokens, and the layers run on their own attention path. Later steps
over the same cache only get another mask, since the caches of the layers then differ in length.

Gradient checkpointing runs layers a second time, with the keyword arguments of the first time: what was dropped then is
found by their rotary embedding.
"""

import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from vidfold.drops import Drop
from vidfold.models.cache import cache_of, noted
from vidfold.models.hooks import Hook
from vidfold.models.inner.ranking import attention_of, check_layer, take
from vidfold.models.inner.run import Run

Kwargs = dict[str, Any]

RUN = "folded_run"
"""Attribute of a cache, and of its copies, with the `Run` that filled it."""


def decoder_layers(model: Any) -> nn.ModuleList:
    """The decoder layers of a model's language model; a ValueError where it has none by the usual name."""
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ValueError(f"{type(decoder).__name__} has no layers: methods inside the language model need them")
    return layers


class Dropper:
    """The hooks that drop tokens inside one model, until `remove`.

    Tokens are dropped from what a thread runs inside `reading`, and from later steps over a cache that it filled.
    Everything else passes through, in other threads too.

    Raises:
        ValueError: decoder layers built otherwise than Qwen2's, or with sliding windows after the first drop.
    """

    def __init__(self, model: Any, drops: Sequence[Drop]) -> None:
        layers, decoder = decoder_layers(model), model.get_decoder()
        self.drops = tuple(drops)
        self.config = decoder.config
        self._model = model
        self.scorers = {drop.scorer for drop in drops}
        self._passes: MutableMapping[Tensor, _Pass | _Step] = WeakTensorKeyDictionary()
        self._local = _Local()
        for index in self.scorers:
            check_layer(layers[index])
        first = min(drop.layer for drop in drops)
        if other := set((getattr(self.config, "layer_types", None) or [])[first:]) - {"full_attention"}:
            raise ValueError(
                f"layers of the language model from {first} on have {', '.join(sorted(other))}: methods inside it drop "
                "tokens for layers of full_attention only"
            )
        self._hooks = [
            decoder.register_forward_pre_hook(Hook(self._before_decoder), with_kwargs=True),
            decoder.register_forward_hook(Hook(self._after_decoder), always_call=True),
        ]
        for index in range(min(self.scorers), len(layers)):
            hook = Hook(partial(self._before_layer, index))
            self._hooks.append(layers[index].register_forward_pre_hook(hook, with_kwargs=True))

    def remove(self) -> None:
        """Take every hook away; a second call does nothing."""
        for hook in self._hooks:
            hook.remove()

    @property
    def active(self) -> bool:
        """Whether this thread is inside `reading`."""
        return self._local.reading is not None

    @contextmanager
    def reading(self, run: Run) -> Iterator[None]:
        """What this thread runs in the block reads the prompts of a run."""
        before, self._local.reading = self._local.reading, run
        try:
            yield
        finally:
            self._local.reading = before

    def forward(self, stock: Callable[..., Any], run: Run, inputs: Kwargs) -> Any:
        """The model's own forward over the prompts of a run, with the loss of the tokens that the last layer read."""
        labels = inputs.get("labels")
        with self.reading(run):
            output = stock(**inputs | {"labels": None})
        return output if labels is None else _with_loss(self._model, run, labels, inputs, output)

    def _before_decoder(self, _: nn.Module, __: tuple[Any, ...], kwargs: Kwargs) -> None:
        cache = cache_of(kwargs)
        run = self._local.reading
        begins = run is not None and (cache is None or not run.stages)
        if run is None and cache is not None:
            run = noted(cache, RUN)
        self._local.call = None
        if run is not None and run.limits:
            self._local.call = _Pass(self, run, kwargs) if begins else _Step(self, run, kwargs)

    def _before_layer(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: Kwargs
    ) -> tuple[tuple[Any, ...], Kwargs] | None:
        key = kwargs["position_embeddings"][0]
        call: _Pass | _Step | None = self._local.call or self._passes.get(key)
        if call is None:
            return None
        if layer.training:
            self._passes[key] = call
        rest = dict(kwargs)
        hidden = args[0] if args else rest.pop("hidden_states")
        hidden, changes = call.enter(index, layer, hidden, rest)
        return (hidden, *args[1:]), rest | changes

    def _after_decoder(self, *_: Any) -> None:
        self._local.call = None


class _Local(threading.local):
    """What a thread is doing."""

    reading: Run | None = None
    call: "_Pass | _Step | None" = None


class _Pass:
    """A forward over whole prompts, and tokens made since where there is no cache: the one that drops."""

    def __init__(self, dropper: Dropper, run: Run, kwargs: Kwargs) -> None:
        self._dropper, self._run = dropper, run
        rows, self._length = kwargs["inputs_embeds"].shape[:2]
        self._stage = run.begin(rows, self._length)
        self._changes: Kwargs = {}
        self._scores: Tensor | None = None
        self._done: dict[int, tuple[Tensor | None, Kwargs]] = {}

    def enter(self, index: int, layer: nn.Module, hidden: Tensor, kwargs: Kwargs) -> tuple[Tensor, Kwargs]:
        """Rank the tokens, drop some, and go on with the others."""
        if index not in self._done:
            self._done[index] = self._decide(index, layer, hidden, kwargs), self._changes
        kept, changes = self._done[index]
        return hidden if kept is None else take(hidden, kept), changes

    @torch.no_grad()
    def _decide(self, index: int, layer: nn.Module, hidden: Tensor, kwargs: Kwargs) -> Tensor | None:
        """Where the tokens are that a layer keeps, (B, M) int64; None where it keeps all."""
        if index in self._dropper.scorers:
            embeddings = (kwargs | self._changes)["position_embeddings"]
            self._scores = attention_of(layer, hidden, embeddings, *self._run.question(self._stage))
        if index in self._run.limits and self._scores is not None:
            more = self._length - self._run.segments.shape[1]
            self._stage, kept = self._run.drop(index, self._stage, self._scores, more)
            self._changes = self._shortened(index, take(hidden, kept), kwargs)
            return kept
        if self._changes and (cache := cache_of(kwargs)) is not None:
            self._trim(index, cache)
        return None

    def _trim(self, index: int, cache: Any) -> None:
        """Let a layer of a cache of fixed length reserve no room for what was dropped."""
        if self._run.trims and index < len(cache.layers):
            layer = cache.layers[index]
            if hasattr(layer, "max_cache_len") and not layer.is_initialized:
                layer.max_cache_len -= self._length - self._stage.columns.shape[1]

    def _shortened(self, index: int, hidden: Tensor, kwargs: Kwargs) -> Kwargs:
        stage, cache = self._stage, cache_of(kwargs)
        if cache is not None:
            setattr(cache, RUN, self._run)
            self._trim(index, cache)
        mask = kwargs.get("attention_mask")
        if mask is not None or stage.padded:
            mask = _mask(self._dropper.config, index, hidden, cache, self._run.real(stage))
        positions = kwargs.get("position_ids")
        return {
            "attention_mask": mask,
            "position_embeddings": tuple(take(each, stage.columns) for each in kwargs["position_embeddings"]),
            "position_ids": None if positions is None else take(positions[..., None], stage.columns)[..., 0],
        }


class _Step:
    """A forward of new tokens over a cache whose later layers hold fewer of the prompts' tokens."""

    def __init__(self, dropper: Dropper, run: Run, kwargs: Kwargs) -> None:
        self._dropper, self._run = dropper, run
        self._given = kwargs.get("attention_mask")
        self._changes: Kwargs = {}

    def enter(self, index: int, layer: nn.Module, hidden: Tensor, kwargs: Kwargs) -> tuple[Tensor, Kwargs]:
        """Give the layer a mask that goes with its own cache."""
        if index in self._run.limits:
            self._changes = {"attention_mask": self._mask(index, hidden, kwargs)}
        return hidden, self._changes

    def _mask(self, index: int, hidden: Tensor, kwargs: Kwargs) -> Any:
        stage, limit = self._run.stages[index], self._run.limits[index]
        mask, cache = kwargs.get("attention_mask"), cache_of(kwargs)
        if mask is None and not stage.padded:
            return None
        prompt = self._run.real(stage)[:, : limit.width]
        given = next((each for each in (self._given, mask) if isinstance(each, Tensor) and each.ndim == 2), None)
        if given is None:
            length, _ = cache.get_mask_sizes(hidden.shape[1], index)
            since = prompt.new_ones(hidden.shape[0], length - limit.width)
        else:
            since = given[:, self._run.segments.shape[1] :].bool()
        return _mask(self._dropper.config, index, hidden, cache, torch.cat([prompt, since], 1))


def _mask(config: Any, index: int, hidden: Tensor, cache: Any, real: Tensor) -> Any:
    """The causal mask of a layer in the form its attention path takes; ``real`` (B, N) bool are keys, not padding."""
    from transformers.masking_utils import create_causal_mask

    return create_causal_mask(config, hidden, real, cache, layer_idx=index)


def _with_loss(model: Any, run: Run, labels: Tensor, kwargs: Kwargs, output: Any) -> Any:
    """The output of a model with the loss over the tokens that the last layer read."""
    stage = run.stages[max(run.stages)]
    left = labels.gather(1, stage.columns).masked_fill(~run.real(stage), -100)
    settings = {name: kwargs[name] for name in ("num_items_in_batch",) if name in kwargs}
    logits = output[0] if isinstance(output, tuple) else output.logits
    size = model.config.get_text_config().vocab_size
    loss = model.loss_function(logits=logits, labels=left, vocab_size=size, **settings)
    return (loss, *output) if isinstance(output, tuple) else type(output)(loss=loss, **output)

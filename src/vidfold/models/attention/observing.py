"""Observe the queries and keys of chosen attention modules while a tower runs as usual.

They are read where the tower passes them to its attention function (SDPA, flash or eager, as it was loaded), after
rotary embedding and query/key norm. So one function serves every tower that uses the attention registry of
transformers.
"""

import copy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from vidfold.models.attention.received import received


@dataclass(frozen=True, eq=False)
class Attended:
    """The inputs of one call of an attention function; each is what `received` takes by that name.

    Towers with windows pass either the lengths of all in one call of a flash function, as here, or one window per call,
    in order.
    """

    query: Tensor
    key: Tensor
    scale: float
    lengths: Tensor | None = None

    def received(self) -> Tensor:
        """Attention each key receives, (F, N) float32; see `vidfold.models.attention.received.received`."""
        return received(self.query, self.key, self.scale, lengths=self.lengths)


Observer = Callable[[Attended], None]
"""Called before every call of an observed module's attention function, without gradients."""

BEYOND = ("attention_mask", "position_bias", "softcap", "s_aux", "sliding_window", "cache")
"""Arguments of attention functions that change the weights and that `Attended` does not hold."""

SHALLOW_LAYER, DEEP_LAYER = 5, -2
REFERENCE_DEPTH = 26
"""Layers of LLaVA-OneVision's tower, for which the shallow layer was chosen."""

_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""A module is changed while it is observed, so one thread at a time observes it: a lock for each module."""


@contextmanager
def observe(observers: Sequence[tuple[nn.Module, Observer]]) -> Iterator[None]:
    """Call observers with the inputs of attention modules while the block runs.

    In this thread, the config of an observed module names another attention implementation: the former one with the
    observer in front. Everything else in the tower, the model and the process runs as before, and so does the module in
    other threads. At the end, also after an exception, config and registry are restored. Another thread that observes
    one of the modules waits until this block ends; other modules do not wait.

    Args:
        observers: pairs of an attention module and its observer; a module may come twice.

    Raises:
        ValueError: a module that does not use the attention registry of transformers; later, in a call, weights that
            depend on more than `Attended` holds: a causal order, or one of `BEYOND`.
    """
    with ExitStack() as stack:
        # In one order for all threads: two that want the same modules cannot wait for each other.
        for module in sorted({module for module, _ in observers}, key=id):
            stack.enter_context(_LOCKS.setdefault(module, threading.RLock()))
        for module, observer in observers:
            stack.enter_context(_observed(module, observer))
        yield


@contextmanager
def collected(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """What attention modules attend with while the block runs.

    Args:
        modules: name -> module.

    Yields:
        By the same names, of every call of the module: where the name is "keys" its keys (F * N, E), mean over heads,
        else the attention that every key receives, (F * N,) float32.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in modules}

    def collect(name: str) -> Observer:
        def observer(attended: Attended) -> None:
            parts[name].append((attended.key.mean(1) if name == "keys" else attended.received()).flatten(0, 1))

        return observer

    with observe([(module, collect(name)) for name, module in modules.items()]):
        yield parts


@contextmanager
def _observed(module: nn.Module, observer: Observer) -> Iterator[None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config: Any = getattr(module, "config", None)
    name = getattr(config, "_attn_implementation", None)
    if name is None:
        raise ValueError(f"{type(module).__name__} names no attention implementation in its config: cannot observe it")
    attend = _eager(module) if name == "eager" else ALL_ATTENTION_FUNCTIONS[name]
    # Attention functions read the config as well, so they get a copy of the module with its own config.
    former = copy.copy(module)

    # Arguments are named as transformers names them: some towers pass the mask by keyword.
    def attention(
        _: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> Any:
        with torch.no_grad():
            observer(_attended(former, name, query, key, {"attention_mask": attention_mask} | settings))
        return attend(former, query, key, value, attention_mask, **settings)

    # The former name stays part of the new one: towers look for "flash" in it.
    observed = f"{name}_observed_{id(attention)}"
    ALL_ATTENTION_FUNCTIONS[observed] = attention
    view: Any = _Config(config, observed)
    module.config = view
    try:
        yield
    finally:
        module.config = config
        del ALL_ATTENTION_FUNCTIONS[observed]


def _attended(module: Any, implementation: str, query: Tensor, key: Tensor, settings: Mapping[str, Any]) -> Attended:
    beyond = [name for name in BEYOND if settings.get(name) is not None]
    # Eager functions are causal by a mask only; the others are if the module is.
    causal = settings.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if causal and implementation != "eager":
        beyond.append("is_causal")
    if beyond:
        raise ValueError(
            f"{type(module).__name__} attends with {' and '.join(beyond)}, which received attention does not support: "
            "observe a vision tower that attends in both directions, or load the model with attn_implementation='sdpa'"
        )
    scale, ends = settings.get("scaling"), settings.get("cu_seq_lens_q") if "flash" in implementation else None
    return Attended(
        query, key, query.shape[-1] ** -0.5 if scale is None else scale, None if ends is None else ends.diff()
    )


class _Config:
    """A config that names another attention implementation in the thread that made it."""

    def __init__(self, config: Any, implementation: str) -> None:
        self._config, self._implementation, self._thread = config, implementation, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    @property
    def _attn_implementation(self) -> str:
        mine = threading.get_ident() == self._thread
        return self._implementation if mine else str(self._config._attn_implementation)


def _eager(module: nn.Module) -> Callable[..., Any]:
    """The eager attention function, which transformers defines in the module's file and not in its registry."""
    function: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise ValueError(
            f"{type(module).__name__} is loaded with eager attention, but {type(module).__module__} has no "
            "eager_attention_forward: load the model with attn_implementation='sdpa'"
        )
    return function


def chosen_layers(shallow: int | None, deep: int | None, depth: int) -> dict[str, int]:
    """Positions 0..depth-1 of the two layers from which saliency is taken.

    Args:
        shallow: index of the shallow layer; None is 5, or round(5/26 · depth) in a tower of 5 or fewer layers.
        deep: index of the deep layer; None is -2, or the only layer of a tower with one layer.
        depth: number of layers that lead to the tower's features.

    Raises:
        ValueError: no such layer; the message names the field ``shallow_layer`` or ``deep_layer``.
    """
    if shallow is None:
        shallow = SHALLOW_LAYER if depth > SHALLOW_LAYER else round(SHALLOW_LAYER / REFERENCE_DEPTH * depth)
    if deep is None:
        deep = max(DEEP_LAYER, -depth)
    return {"shallow": layer_index("shallow_layer", shallow, depth), "deep": layer_index("deep_layer", deep, depth)}


def leading(modules: Sequence[nn.Module], states: int | Sequence[int]) -> list[nn.Module]:
    """The first of a tower's layers: as many as lead to hidden states of these numbers.

    Hidden states are counted from the embeddings, number 0, so number n is what n layers made. A ValueError for a
    number that the tower does not have.
    """
    numbers = states if isinstance(states, Sequence) else [states]
    depth = max(layer_index("vision_feature_layer", number, len(modules) + 1) for number in numbers)
    return list(modules[: max(1, depth)])


def layer_index(name: str, index: int, depth: int) -> int:
    """Position 0..depth-1 of a layer, a negative index counted from the end; a ValueError names the field ``name``."""
    if isinstance(index, bool) or not isinstance(index, int) or not -depth <= index < depth:
        raise ValueError(
            f"{name} must be an integer from {-depth} to {depth - 1} in a tower of {depth} layers, got {index!r}"
        )
    return index % depth

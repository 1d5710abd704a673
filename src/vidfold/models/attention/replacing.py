"""Another attention function for chosen modules while a tower runs as usual.

Towers that use the attention registry of transformers look their attention function up in every call, by the name in
their config. So one function serves all of them, after rotary embedding and query/key norm, whatever implementation
they were loaded with.
"""

import copy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

BEYOND = ("attention_mask", "position_bias", "softcap", "s_aux", "sliding_window", "cache")
"""Arguments of attention functions that change the weights, beside queries, keys and their scale."""

_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""A module is changed while its function is replaced, so one thread at a time does so: a lock for each module."""


@dataclass(frozen=True, eq=False)
class Stock:
    """The attention function that a module would call.

    Attributes:
        module: what it gets as its first argument: the module with its own config.
        implementation: its name in that config.
        function: it, as the registry of transformers has it.
    """

    module: Any
    implementation: str
    function: Callable[..., Any]

    @property
    def packs(self) -> bool:
        """Whether it takes the lengths of packed sequences."""
        return "flash" in self.implementation

    def beyond(self, settings: Mapping[str, Any]) -> list[str]:
        """What changes the weights of a call with these settings beside queries, keys and their scale, if anything."""
        beyond = [name for name in BEYOND if settings.get(name) is not None]
        # Eager functions are causal by a mask only; the others are if the module is.
        causal = settings.get("is_causal")
        causal = getattr(self.module, "is_causal", True) if causal is None else causal
        return [*beyond, "is_causal"] if causal and self.implementation != "eager" else beyond

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **settings: Any) -> Any:
        """Attend."""
        return self.function(self.module, query, key, value, mask, **settings)


Instead = Callable[..., Any]
"""Called as ``instead(stock, query, key, value, mask, **settings)`` in the place of a `Stock`."""


@contextmanager
def replaced(modules: Sequence[tuple[nn.Module, Instead]]) -> Iterator[None]:
    """Let attention modules call other functions while the block runs.

    In this thread, the config of a module names another attention implementation. Everything else in the tower, the
    model and the process runs as before, and so does the module in other threads. At the end, also after an exception,
    config and registry are restored. Another thread that replaces the function of one of the modules waits until this
    block ends; other modules do not wait.

    Args:
        modules: pairs of an attention module and its function; a module may come twice, and the later function then has
            the earlier one as its `Stock`.

    Raises:
        ValueError: a module that does not use the attention registry of transformers.
    """
    with ExitStack() as stack:
        # In one order for all threads: two that want the same modules cannot wait for each other.
        for module in sorted({module for module, _ in modules}, key=id):
            stack.enter_context(_LOCKS.setdefault(module, threading.RLock()))
        for module, instead in modules:
            stack.enter_context(_replaced(module, instead))
        yield


@contextmanager
def _replaced(module: nn.Module, instead: Instead) -> Iterator[None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config: Any = getattr(module, "config", None)
    name = getattr(config, "_attn_implementation", None)
    if name is None:
        raise ValueError(f"{type(module).__name__} names no attention implementation in its config: cannot observe it")
    # Attention functions read the config as well, so they get a copy of the module with its own config.
    stock = Stock(copy.copy(module), name, _eager(module) if name == "eager" else ALL_ATTENTION_FUNCTIONS[name])

    # Arguments are named as transformers names them: some towers pass the mask by keyword.
    def attention(
        _: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> Any:
        return instead(stock, query, key, value, attention_mask, **settings)

    # The former name stays part of the new one: towers look for "flash" in it.
    new = f"{name}_replaced_{id(attention)}"
    ALL_ATTENTION_FUNCTIONS[new] = attention
    view: Any = _Config(config, new)
    module.config = view
    try:
        yield
    finally:
        module.config = config
        del ALL_ATTENTION_FUNCTIONS[new]


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

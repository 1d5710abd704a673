"""Hooks that stay with the model they were set on."""

from collections.abc import Callable
from typing import Any

import torch


class Hook:
    """A hook of a module that copies of the module do not have, deep or pickled, and that is never compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function: Callable[..., Any] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do it."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[type["Hook"], tuple[Callable[..., None]]]:
        return Hook, (_nothing,)


def _nothing(*_: Any, **__: Any) -> None:
    """What the hook does in a copy."""

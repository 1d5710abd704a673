"""The key-value cache of a call, by either of its names: transformers 5.24 calls ``past_key_values`` ``cache``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

NAMES = ("cache", "past_key_values")


def cache_of(named: Mapping[str, Any]) -> Any:
    """The cache among a call's keyword arguments or a model's outputs; None where there is none."""
    return next((named[name] for name in NAMES if named.get(name) is not None), None)


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The cache as the keyword argument that the model's ``forward`` takes it by."""
    parameters = inspect.signature(model.forward).parameters
    return {next((name for name in NAMES if name in parameters), NAMES[-1]): cache}

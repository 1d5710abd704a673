"""The key-value cache of a call, by either of its names: transformers 5.24 calls ``past_key_values`` ``cache``."""

import inspect
from collections.abc import Mapping
from typing import Any

NAMES = ("cache", "past_key_values")


def cache_of(named: Mapping[str, Any]) -> Any:
    """The cache among a call's keyword arguments or a model's outputs; None where there is none."""
    return next((named[name] for name in NAMES if named.get(name) is not None), None)


def held(cache: Any) -> int:
    """Tokens in a cache, which may be None."""
    return 0 if cache is None else int(cache.get_seq_length())


def noted(cache: Any, name: str) -> Any:
    """What a call noted as an attribute of a cache or of the one it is a copy of; None once the cache was emptied."""
    value = getattr(cache, name, None)
    if value is not None and held(cache) == 0:
        delattr(cache, name)
        return None
    return value


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The cache as the keyword argument that the model's ``forward`` takes it by."""
    parameters = inspect.signature(model.forward).parameters
    return {next((name for name in NAMES if name in parameters), NAMES[-1]): cache}

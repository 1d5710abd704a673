"""Optional dependencies: imported where they are used, and named with their extra where they are missing."""

from __future__ import annotations

import importlib
from typing import Any


class MissingExtra(ImportError):
    """A package of an optional extra is not installed."""


def load(module: str, extra: str) -> Any:
    """The module, or a `MissingExtra` that says which extra of vidfold to install for it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtra(f"{module} is not installed: pip install 'vidfold[{extra}]'") from error

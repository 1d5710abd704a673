"""Optional dependencies: imported where they are used, and named with their extra where they are missing or broken."""

import importlib
from typing import Any

from vidfold import versions


class MissingExtra(ImportError):
    """A package of an optional extra is not installed, or does not load."""


def load(module: str, extra: str) -> Any:
    """The module, its version checked.

    Raises:
        MissingExtra: it is not installed, where the message says which extra of vidfold to install; or it is
            transformers, and the torchvision that its processors need does not load.
        ValueError: it is older than the versions that vidfold is tested with.

    Warns:
        UntestedVersion: it is newer than those.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtra(f"{module} is not installed: pip install 'vidfold[{extra}]'") from error
    versions.check(found)
    if module == "transformers":
        _check_torchvision()
    return found


def _check_torchvision() -> None:
    """Name the cause where torchvision does not load: transformers only says that it could not import AutoProcessor."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return  # transformers says so itself where it needs torchvision
    except (ImportError, OSError, RuntimeError) as error:
        import torch

        raise MissingExtra(
            f"torchvision does not load beside torch {torch.__version__} ({str(error).partition(chr(10))[0]}): the two "
            "are of different builds. Install the torchvision that belongs to this torch, from where torch came from; "
            "beside a CPU build of torch, 'vidfold repair' makes the one from PyPI load"
        ) from error

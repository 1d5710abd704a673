"""Optional dependencies: imported where they are used, and named with their extra where they are missing or broken."""

import importlib
import importlib.metadata
import re
from typing import Any

from vidfold import versions


class MissingExtra(ImportError):
    """A package of an optional extra is not installed, or does not load."""


def load(module: str, extra: str) -> Any:
    """The module, its version checked.

    Raises:
        MissingExtra: it is not installed, where the message says what to install; or it is transformers, and the
            torchvision that its processors need does not load.
        ValueError: it is older than the versions that vidfold is tested with.

    Warns:
        UntestedVersion: it is newer than those.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtra(f"{module} is not installed: {remedy(extra)}") from error
    versions.check(found)
    if module == "transformers":
        _check_torchvision()
    return found


def need(*extras: str) -> None:
    """Raise a MissingExtra that names all that is missing of some extras at once."""
    wanted = dict.fromkeys(each for extra in extras for each in requirements(extra))
    if missing := [each for each in wanted if not _installed(each)]:
        raise MissingExtra(f"this needs packages that are not installed: {_install(missing)}")


def remedy(extra: str) -> str:
    """The command that installs what is missing of an extra, wherever vidfold itself was installed from."""
    wanted = requirements(extra) or [f"vidfold[{extra}]"]
    missing = [each for each in wanted if not _installed(each)]
    return _install(missing or wanted)


def _install(packages: list[str]) -> str:
    return "pip install " + " ".join(f"'{each}'" for each in packages)


def requirements(extra: str) -> list[str]:
    """The packages of an extra as pip takes them, such as "av<20,>=15"; empty where vidfold is not installed."""
    try:
        lines = importlib.metadata.requires("vidfold") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    split = (re.fullmatch(r"(.+?) *; *extra == ['\"](.+)['\"]", line) for line in lines)
    return [found[1] for found in split if found and found[2] == extra]


def _installed(requirement: str) -> bool:
    """Whether a package is there, in any version."""
    try:
        importlib.metadata.version(re.split(r"[^\w.-]", requirement)[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


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

"""The files of a folder that hold weights, and weights that are missing or do not fit."""

import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath

INDEX = "model.safetensors.index.json"


def files_of(folder: Path) -> list[str]:
    """Names of the files of weights by the folder's index, without one ``model.safetensors``.

    A ValueError for an index that names a file outside of the folder, or a file that is not there.
    """
    files = ["model.safetensors"]
    if (folder / INDEX).is_file():
        files = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    if outside := [each for each in files if PurePosixPath(each).is_absolute() or ".." in PurePosixPath(each).parts]:
        raise ValueError(f"its {INDEX} names {outside[0]!r}, a file outside of the folder")
    if missing := [each for each in files if not (folder / each).is_file()]:
        raise ValueError(f"it lacks {len(missing)} of its {len(files)} files of weights, {missing[0]}")
    return files


def check_none(what: str, names: Collection[str]) -> None:
    """Raise a ValueError that names the first three, where there are any."""
    if names:
        first = sorted(names)[:3]
        more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
        raise ValueError(f"it {what}: {', '.join(first)}{more}")

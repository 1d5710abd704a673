"""One file of tensors and a record: safetensors with JSON in its header, never pickle."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidfold import extras
from vidfold.replacing import replaced

KEY = "vidfold"
"""Entry of the header that holds the record."""

Shape = tuple[int | None, ...]


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> int:
    """Write a file, whole or not at all: an older one stays as it is until the new one is complete.

    Returns:
        Its size in bytes.

    Raises:
        ValueError: a folder that is not there.
        OSError: such as a full disk.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"folder {str(path.parent)!r} is not there: make it first")
    safetensors = extras.load("safetensors.torch", "models")
    plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    header = {KEY: json.dumps(dict(record) | {"content": _digest(plain)})}
    with replaced(path) as part:
        try:
            safetensors.save_file(plain, part, metadata=header)
        except extras.load("safetensors", "models").SafetensorError as error:
            raise OSError(str(error)) from error
        return part.stat().st_size


class Container:
    """A file that was opened to read: its record, and the shapes of its tensors before any is loaded.

    Attributes:
        name: of the file, for messages.
        record: what `write` was given.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file; a ValueError for one that is missing, cut short or another kind."""
        self.name = repr(os.fspath(path))
        if not os.path.isfile(path):
            raise ValueError(f"file {self.name} is not there")
        safetensors = extras.load("safetensors", "models")
        try:
            # It checks that header, shapes and size go with one another, and reads nothing else yet.
            self._file = safetensors.safe_open(os.fspath(path), framework="pt", device="cpu")
            self.record: dict[str, Any] = json.loads((self._file.metadata() or {})[KEY])
        except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.name} is cut short, damaged, or no saved video: {error}") from error
        if not isinstance(self.record, dict):
            raise ValueError(f"{self.name} is no saved video: its record is {self.record!r}")
        self._names = frozenset(self._file.keys())

    def names(self, prefix: str) -> list[str]:
        """Names of tensors that begin so, without that beginning, sorted."""
        return sorted(name.removeprefix(prefix) for name in self._names if name.startswith(prefix))

    def check(self, name: str, shape: Shape, dtype: torch.dtype) -> tuple[int, ...]:
        """The shape of a tensor, which must be this where it is not None; a ValueError where it is not."""
        if name not in self._names:
            raise ValueError(f"{self.name} has no {name}")
        part = self._file.get_slice(name)
        found = tuple(part.get_shape())
        fits = len(found) == len(shape) and all(want in (None, have) for want, have in zip(shape, found, strict=True))
        if not fits or part.get_dtype() != _NAMES.get(dtype):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise ValueError(
                f"{name} of {self.name} must be ({wanted}) {dtype}, got {found} {part.get_dtype()}: it is damaged, or "
                "of another model"
            )
        return found

    def load(self) -> dict[str, Tensor]:
        """All tensors; a ValueError where they are not what was written."""
        tensors = {name: self._file.get_tensor(name) for name in sorted(self._names)}
        if _digest(tensors) != self.record.get("content"):
            raise ValueError(f"{self.name} is damaged: its content is not what was written (SHA-256)")
        return tensors


_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.bool: "BOOL",
}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and bytes of tensors on the CPU."""
    digest = hashlib.sha256()
    for name, each in sorted(tensors.items()):
        digest.update(f"{name} {each.dtype} {tuple(each.shape)}\n".encode())
        digest.update(each.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""A folder of a process for what it loads, which the next process deletes where this one was killed."""

import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from vidfold import extras

PREFIX = "vidfold-batch-"
"""Begins the names of these folders, among all temporary files of the machine."""


class Scratch:
    """A new folder.

    A lock beside it ends with its process, however that ends. Whoever makes a folder first deletes those whose owner
    has ended.

    Attributes:
        folder: the folder.
    """

    def __init__(self) -> None:
        above = Path(tempfile.gettempdir())
        for other in above.glob(f"{PREFIX}*/"):
            with suppress(OSError), _lock(other):  # else it has an owner, or belongs to another user
                _delete(other)
        self.folder = above / f"{PREFIX}{uuid.uuid4().hex[:12]}"
        self._lock = _lock(self.folder)
        self._lock.acquire()  # first, so that the folder never seems to have no owner
        self.folder.mkdir(mode=0o700)

    def delete(self) -> None:
        """Delete the folder and all that is in it."""
        _delete(self.folder)


def _lock(folder: Path) -> Any:
    return extras.load("filelock", "batch").FileLock(f"{folder}.lock", timeout=0)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        Path(f"{folder}.lock").unlink()

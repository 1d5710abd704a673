"""Files that are complete or absent: each is written beside its place and moved there at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a file; it replaces ``path`` when the block ends (POSIX and Windows).

    After an error in the block, the old file is still there. A missing folder is created. Only one process at a time
    may write to a path.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        if part.is_file():
            part.unlink()
        if isinstance(error, OSError):
            raise OSError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        raise


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, as `replaced`."""
    with replaced(path) as part, part.open("wb") as file:
        yield file

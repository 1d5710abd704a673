"""What a run has saved: one row per cell in a CSV file, and the values of every clip in one file per set of clips."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidfold.bench.writing import Row, append_lines, read_csv, read_lines, replacing, write_csv

Key = tuple[str, ...]
Values = Mapping[str, float]
"""Measured values of one clip, by name."""


class Records:
    """The rows of one CSV file, identified by some of their columns.

    Every `put` replaces the whole file at once, so readers and later runs see only complete rows. Only one process at
    a time may write.

    Attributes:
        path: path of the file; the first `put` creates it.
        columns: columns of the file.
        key: the columns that identify a row.

    Raises:
        ValueError: a file with other columns, or one that cannot be read.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: Sequence[str]) -> None:
        self.path, self.columns, self.key = path, tuple(columns), tuple(key)
        self._rows: dict[Key, Row] = {}
        if path.exists():
            found, rows = read_csv(path)
            if found != self.columns:
                raise ValueError(
                    f"{str(path)!r} has other columns than this version writes: it comes from another version "
                    "or was edited; use another folder, or move the file away"
                )
            self._rows = {self._key(row): row for row in rows}

    def get(self, key: Mapping[str, str]) -> Row | None:
        """The row with these key columns, or None."""
        return self._rows.get(self._key(key))

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows; they replace those with the same key."""
        every = self._rows | {self._key(row): row for row in rows}
        write_csv(self.path, self.columns, every.values())
        self._rows = every

    def _key(self, row: Mapping[str, str]) -> Key:
        return tuple(row[column] for column in self.key)


class Outcomes:
    """The values of every clip with every setting.

    `put` appends the values of one clip to a file of lines beside ``path``, so that an interruption loses at most the
    clip that is being measured. `pack` moves all of them to ``path``, a compressed numpy archive with ``labels`` (L,)
    of the settings, names of the ``clips`` (C,), and for every measured value an array (L, C) of its name; NaN is not
    measured.

    Attributes:
        path: path of the archive, which ends in ".npz".

    Raises:
        ValueError: the archive cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lines = path, path.with_suffix(".jsonl")
        self._found: dict[str, dict[str, dict[str, float]]] = {}
        if path.exists():
            self._load()
        if self._lines.exists():
            for line in read_lines(self._lines):
                self._found.setdefault(line.pop("label"), {})[line.pop("clip")] = line

    def has(self, label: str, clips: Iterable[str]) -> bool:
        """Whether all these clips were measured with a setting."""
        return self._found.get(label, {}).keys() >= set(clips)

    def put(self, clip: str, values: Mapping[str, Values]) -> None:
        """Add the values of one clip with some settings, by label."""
        append_lines(self._lines, ({"label": label, "clip": clip} | dict(each) for label, each in values.items()))
        for label, each in values.items():
            self._found.setdefault(label, {})[clip] = dict(each)

    def arrays(self, label: str, clips: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Every measured value of a setting as (clips,)."""
        found = [self._found[label][clip] for clip in clips]
        names = dict.fromkeys(name for each in found for name in each)
        return {name: np.array([each.get(name, np.nan) for each in found]) for name in names}

    def drop_others(self, labels: Mapping[str, str]) -> None:
        """Forget labels that begin like a key of ``labels`` and are not its value: results of other code."""
        for start, label in labels.items():
            for other in [each for each in self._found if each.startswith(f"{start} ") and each != label]:
                del self._found[other]

    def pack(self) -> None:
        """Write everything to the archive."""
        labels = list(self._found)
        clips = list(dict.fromkeys(clip for found in self._found.values() for clip in found))
        names = dict.fromkeys(name for found in self._found.values() for values in found.values() for name in values)
        nothing: dict[str, float] = {}
        every = [[self._found[label].get(clip, nothing) for clip in clips] for label in labels]
        arrays = {name: np.array([[each.get(name, np.nan) for each in row] for row in every]) for name in names}
        with replacing(self.path) as file:
            np.savez_compressed(file, labels=np.array(labels), clips=np.array(clips), **arrays)  # type: ignore[arg-type]
        self._lines.unlink(missing_ok=True)

    def _load(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            labels, clips = arrays.pop("labels").tolist(), arrays.pop("clips").tolist()
            for row, label in enumerate(labels):
                for column, clip in enumerate(clips):
                    values = {name: float(array[row, column]) for name, array in arrays.items()}
                    if known := {name: value for name, value in values.items() if value == value}:
                        self._found.setdefault(label, {})[clip] = known
        except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{str(self.path)!r} is not an archive of measured clips ({error}): move it away and run again"
            ) from error

"""The values of every clip with every setting, in one file per set of clips."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidfold.bench.results import Values
from vidfold.bench.scores import Arrays
from vidfold.replacing import replacing


class Outcomes:
    """The values of every clip with every setting.

    The file is a compressed numpy archive with ``labels`` (L,) of the settings, names of the ``clips`` (C,), and for
    every measured value an array (L, C) of its name; NaN is not measured. It is written anew after every clip, so an
    interruption loses at most the clip that is being measured.

    Attributes:
        path: path of the archive, which ends in ".npz".
        clips: names of all clips.

    Raises:
        ValueError: the archive cannot be read.
    """

    def __init__(self, path: Path, clips: Sequence[str]) -> None:
        self.path, self.clips = path, tuple(clips)
        self._found: dict[str, dict[str, NDArray[np.float64]]] = {}
        if path.exists():
            self._load()

    def arrays(self, label: str) -> Arrays:
        """Every measured value of a setting as (clips,)."""
        return self._found.get(label, {})

    def has(self, label: str, clips: slice | int = slice(None)) -> bool:
        """Whether all clips, or some of them by their places, were measured with a setting."""
        found = self.arrays(label)
        return bool(found) and not np.isnan(np.stack([*found.values()])[:, clips]).all(0).any()

    def put(self, clip: int, values: Mapping[str, Values]) -> None:
        """Add the values of one clip, by its place, with some settings, by label."""
        for label, each in values.items():
            arrays = self._found.setdefault(label, {})
            for name, value in each.items():
                arrays.setdefault(name, np.full(len(self.clips), np.nan))[clip] = value
        nothing = np.full(len(self.clips), np.nan)
        names = dict.fromkeys(name for arrays in self._found.values() for name in arrays)
        every = {name: np.stack([own.get(name, nothing) for own in self._found.values()]) for name in names}
        with replacing(self.path) as file:
            np.savez_compressed(file, labels=[*self._found], clips=self.clips, **every)  # type: ignore[arg-type]

    def keep(self, labels: Sequence[str]) -> None:
        """Forget what differs from one of these labels in the last word only: results of other code."""
        kept = {label.rpartition(" ")[0]: label for label in labels}
        for label in [*self._found]:
            if kept.get(label.rpartition(" ")[0], label) != label:
                del self._found[label]

    def _load(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            labels, places = arrays.pop("labels"), [self.clips.index(clip) for clip in arrays.pop("clips").tolist()]
            for row, label in enumerate(labels.tolist()):
                for name, array in arrays.items():
                    if not np.isnan(array[row]).all():
                        self._found.setdefault(label, {})[name] = np.full(len(self.clips), np.nan)
                        self._found[label][name][places] = array[row]
        except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{str(self.path)!r} is not an archive of measured clips ({error}): move it away and run again"
            ) from error

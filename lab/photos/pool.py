"""Encoded shots of one split, as `lab.photos.encode` wrote them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lab.photos.encode import GRID, POOLING
from lab.photos.shots import Shot, shots
from lab.photos.sources import Source, sources


@dataclass(frozen=True, eq=False)
class Pool:
    """The encoded shots of a split: ``data`` is what `lab.real.fetch` prepared, ``encoded`` the shots.

    Raises:
        ValueError: a shot is not there.
    """

    data: Path
    encoded: Path
    split: str

    @cached_property
    def shots(self) -> tuple[Shot, ...]:
        """What the shots show, in order."""
        return shots(self.data, self.split)

    def seen(self, number: int) -> dict[str, Tensor]:
        """What the tower gave of a shot, by name, each (4, ...) fp16."""
        path = self.encoded / f"{self.shots[number].name}.pt"
        if not path.exists():
            raise ValueError(f"{path} is not there: run python -m lab.photos.encode to its end")
        found: dict[str, Tensor] = torch.load(path)
        return found

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Everything that the shots are made of, each once."""
        return sources(self.data, self.split).every

    @cached_property
    def numbers(self) -> dict[Source, int]:
        """Place of every source in ``sources``."""
        return {source: number for number, source in enumerate(self.sources)}

    @cached_property
    def alone(self) -> Tensor:
        """One vector (n, D) for every source by itself: the mean of what the tower says of it."""
        path = self.encoded / f"alone-{self.split}.pt"
        if not path.exists():
            raise ValueError(f"{path} is not there: run python -m lab.photos.encode to its end")
        found: Tensor = torch.load(path)
        return found.float().mean(1)

    def pictures(self, asked: Sequence[Source | None]) -> Tensor:
        """The vectors (n, D) of these sources by themselves; zeros for None."""
        there = torch.tensor([source is not None for source in asked])
        return self.alone[[0 if source is None else self.numbers[source] for source in asked]] * there[:, None]

    @cached_property
    def cells(self) -> NDArray[np.float16]:
        """Pooled features of all shots, (S, 4, 49, D)."""
        pooled = [POOLING(self.seen(number)["features"].float(), GRID).half() for number in range(len(self.shots))]
        return torch.stack(pooled).numpy()

"""The interface of methods that work inside the language model: which layers read which share of the tokens."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from vidfold.drops import Drop, check_drops
from vidfold.reducers.base import Reducer
from vidfold.tokens import VideoTokens


@dataclass(frozen=True)
class InnerReducer(Reducer):
    """A method that drops tokens between the layers of the language model, which is given all of them.

    A method is a frozen dataclass that subclasses this, sets the class variables of any `Reducer`, and implements
    `drops`.
    ``vidfold.fold(model, method)`` applies it; it cannot be called on a `VideoTokens`.
    """

    @abstractmethod
    def drops(self, depth: int) -> tuple[Drop, ...]:
        """The drops in a decoder of ``depth`` layers, before `schedule` checks them."""

    def schedule(self, depth: int) -> tuple[Drop, ...]:
        """The drops in a decoder of ``depth`` layers, in their order.

        Raises:
            ValueError: layers that such a decoder does not have.
        """
        drops = self.drops(depth)
        check_drops(drops, depth)
        return drops

    def count(self, frames: int, cells: int) -> int:
        """All F*N tokens: the language model is given all of them."""
        return frames * cells

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> NoReturn:
        """Always refused: the ranking needs the language model.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.name} works inside the language model: use it as vidfold.fold(model, {self!r})")

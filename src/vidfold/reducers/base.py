"""The contract of every method: a callable from `VideoTokens` to `Reduction` with a count known beforehand."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vidfold.checks import check_ratio
from vidfold.linear import Mix
from vidfold.ops.shares import kept_tokens
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class Reducer(ABC):
    """One reduction method; its fields are its only configuration.

    A method subclasses this as a frozen dataclass, names itself in the class variables, and implements `reduce`. One
    that always needs the same optional fields sets ``needs`` as a class variable, too.
    """

    name: ClassVar[str]
    """Its name in the registry and on the command line."""
    published: ClassVar[str]
    """Where it was published."""
    idea: ClassVar[str]
    """One line on what it does."""

    @property
    def needs(self) -> frozenset[str]:
        """Optional fields of `VideoTokens` that, with these settings, it cannot do without."""
        return frozenset()

    @property
    def exact(self) -> bool:
        """Whether, with these settings, the number of tokens is known from frames and cells alone."""
        return True

    @abstractmethod
    def count(self, frames: int, cells: int) -> int:
        """Number of tokens K that F frames of N cells are folded to; newlines are outside this count.

        Raises:
            ValueError: the method's count depends on the content (`exact` is False).
        """

    @abstractmethod
    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold tokens that were checked already; see `__call__`."""

    @torch.no_grad()
    def __call__(self, tokens: VideoTokens, *, weights: bool = False) -> Reduction:
        """Fold one video, without gradients.

        Args:
            tokens: the video, (F, H*W, D) features of any float dtype; the result has the same dtype and device.
            weights: also compute the matrix of the fold, which costs memory and is for pictures and tests.

        Raises:
            ValueError: the tokens lack something the method needs.
        """
        for field in sorted(self.needs):
            if getattr(tokens, field) is None:
                raise ValueError(
                    f"{self.name} needs VideoTokens.{field}, which is None: the model family that made these tokens "
                    f"does not give it, or was not asked to; a method without that need is 'random'"
                )
        if tokens.side is None:
            return self.reduce(tokens, weights=weights)
        reduction = self.reduce(tokens, weights=True)
        return dataclasses.replace(
            reduction, side=_folded(reduction, tokens.side), weights=reduction.weights if weights else None
        )


@dataclass(frozen=True)
class BudgetedReducer(Reducer):
    """A method whose one knob is the retention, met exactly.

    Attributes:
        retention: share of the tokens to keep, in (0, 1]; K = max(1, floor(retention * F * N + 0.5)).
    """

    retention: float = 0.10

    def __post_init__(self) -> None:
        check_ratio("retention", self.retention)

    def count(self, frames: int, cells: int) -> int:
        """Number of tokens K that F frames of N cells are folded to.

        Raises:
            ValueError: with these settings it depends on the content (`exact` is False).
        """
        if not self.exact:
            raise ValueError(
                f"the count of {self!r} depends on the video's content; it is known beforehand with original=False"
            )
        return kept_tokens(self.retention, frames, cells)


def _folded(reduction: Reduction, side: Tensor) -> Tensor:
    """Side features (levels, F, S, E) folded as the tokens were: (levels, K, E)."""
    assert reduction.weights is not None
    weights = reduction.weights.float()
    sources = side.flatten(1, 2)
    if weights.shape[1] != sources.shape[1]:
        raise ValueError(
            f"side features come from {sources.shape[1]} tokens, but the tokens were folded from {weights.shape[1]}: "
            "a model with side features pools before they are made"
        )
    return torch.stack([torch.sparse.mm(weights, level.float()).to(side.dtype) for level in sources])


def select(tokens: VideoTokens, index: Tensor, *, weights: bool) -> Reduction:
    """The reduction that keeps pooled tokens unchanged.

    Args:
        tokens: the video.
        index: (K,) int64 flat indices f*N + cell, ascending.
        weights: also give the one-hot (K, F*N) matrix.
    """
    full = tokens.frames * tokens.cells
    return Reduction(
        tokens=tokens.pooled().flatten(0, 1)[index],
        frames=index // tokens.cells,
        cells=index % tokens.cells,
        grid=tokens.language_grid,
        full=full,
        weights=Mix.selection(index, full).matrix() if weights else None,
    )

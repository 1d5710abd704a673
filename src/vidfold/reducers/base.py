"""The interface of every method: a callable from `VideoTokens` to `Reduction`, with a count known beforehand."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.amp import is_autocast_available

from vidfold.checks import Settings, check_count, check_ratio, setting
from vidfold.linear import Mix
from vidfold.ops.shares import kept_tokens, on_host
from vidfold.tokens import Reduction, VideoTokens

RETENTION = 0.10
"""The default share of the tokens to keep."""
_LARGEST = 2.0**40

Field = Literal["features", "shallow", "deep", "keys", "head_attention"]
"""Fields of `VideoTokens` with one value or vector a patch."""


@dataclass(frozen=True)
class Reducer(Settings, ABC):
    """One reduction method; its fields are its only configuration.

    A method is a frozen dataclass that subclasses this, sets the class variables, and implements `count` and
    `reduce`. If it always needs the same optional fields, it sets ``needs`` as a class variable, too.
    """

    name: ClassVar[str]
    """Its name in the registry and on the command line."""
    published: ClassVar[str]
    """Where it was published."""
    idea: ClassVar[str]
    """One line on what it does."""

    @property
    def needs(self) -> frozenset[str]:
        """Optional fields of `VideoTokens` that the method requires with these settings."""
        return frozenset()

    @property
    def exact(self) -> bool:
        """Whether, with these settings, the number of tokens is known from frames and cells alone."""
        return True

    def as_dict(self) -> dict[str, Any]:
        """The method as plain data, its name and its fields: `vidfold.reducers.get` makes it again of them.

        A field that holds an object, such as a segmenter, keeps it.
        """
        return {"name": self.name} | {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @abstractmethod
    def count(self, frames: int, cells: int) -> int:
        """Number of tokens K that F frames of N cells are folded to; newlines are outside this count.

        Raises:
            ValueError: the method's count depends on the content (`exact` is False).
        """

    @abstractmethod
    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold one video that `__call__` has checked and prepared."""

    def reduce_all(self, videos: Sequence[VideoTokens], *, weights: bool) -> list[Reduction]:
        """`reduce` for several videos; a method may fold those of one shape side by side."""
        return [self.reduce(video, weights=weights) for video in videos]

    def reduce_many(self, videos: Sequence[VideoTokens], *, weights: bool) -> list[Reduction]:
        """`reduce_all`, by the method with its budget for each video."""
        return self.reduce_all(videos, weights=weights)

    def __call__(self, tokens: VideoTokens, *, weights: bool = False) -> Reduction:
        """Fold one video in float32, without gradients; see `many`.

        Args:
            tokens: the video, (F, H*W, D) features of any float dtype; the result has the same dtype and device.
            weights: also compute the matrix of the fold, which costs memory and serves pictures and tests.

        Raises:
            ValueError: the tokens lack something the method needs.
        """
        return self.many([tokens], weights=weights)[0]

    @torch.no_grad()
    def many(self, videos: Sequence[VideoTokens], *, weights: bool = False) -> list[Reduction]:
        """Fold several videos in float32, without gradients; each result is as of a call with that video alone.

        Autocast is switched off, the layout in memory changes nothing, and features whose squares would overflow are
        scaled down and the result up again. TF32 is not changed, since torch has one switch for the whole process:
        with ``torch.set_float32_matmul_precision`` below "highest", a GPU may choose slightly other tokens.

        Args:
            videos: of any shapes, on one device; see `__call__`.
            weights: also compute the matrices of the folds.

        Raises:
            ValueError: a video lacks something the method needs.
        """
        for field in sorted(self.needs):
            if any(getattr(tokens, field) is None for tokens in videos):
                raise ValueError(
                    f"{self.name} needs VideoTokens.{field}, which is None: the model family that made these tokens "
                    f"does not give it, or was not asked to; a method without that need is 'random'"
                )
        if not videos:
            return []
        device = videos[0].features.device.type
        with torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext():
            in_range = [_in_range(_contiguous(tokens)) for tokens in videos]
            shown = weights or any(tokens.side is not None for tokens in videos)
            folded = self.reduce_many([tokens for tokens, _ in in_range], weights=shown)
            return [
                _restored(reduction, tokens.side, scale, weights)
                for reduction, (tokens, scale) in zip(folded, in_range, strict=True)
            ]


@dataclass(frozen=True)
class BudgetedReducer(Reducer):
    """A method whose budget is a share or a number of the tokens, met exactly.

    Attributes:
        retention: share of the tokens to keep, in (0, 1]; K = max(1, floor(retention * F * N + 0.5)). None where
            ``tokens`` is given.
        tokens: number of tokens to keep of every video, however many frames it has; K = min(tokens, F * N). None keeps
            the share.

    Raises:
        ValueError: also where both are given.
    """

    retention: float = setting(RETENTION, check_ratio, optional=True)
    tokens: int | None = setting(None, check_count, optional=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens is not None:
            if self.retention not in (None, RETENTION):
                raise ValueError(f"give retention or tokens, not both: got {self.retention!r} and {self.tokens!r}")
            object.__setattr__(self, "retention", None)
        elif self.retention is None:
            raise ValueError("retention must be a number in (0, 1] where tokens is not given, got None")

    def count(self, frames: int, cells: int) -> int:
        """Number of tokens K that F frames of N cells are folded to."""
        return kept_tokens(self.retention, frames, cells) if self.tokens is None else min(self.tokens, frames * cells)

    def of(self, frames: int, cells: int) -> Self:
        """The method for F frames of N cells: one with a retention, which keeps as many tokens of them."""
        if self.tokens is None:
            return self
        return dataclasses.replace(self, retention=self.count(frames, cells) / (frames * cells), tokens=None)

    def reduce_many(self, videos: Sequence[VideoTokens], *, weights: bool) -> list[Reduction]:
        """`reduce_all` of the method `of` each video."""
        if self.tokens is None:
            return self.reduce_all(videos, weights=weights)
        found: dict[int, Reduction] = {}
        shapes = [(video.frames, video.cells) for video in videos]
        for shape in dict.fromkeys(shapes):
            places = [place for place, each in enumerate(shapes) if each == shape]
            folded = self.of(*shape).reduce_all([videos[place] for place in places], weights=weights)
            found |= dict(zip(places, folded, strict=True))
        return [found[place] for place in range(len(videos))]


@dataclass(frozen=True)
class PublishedReducer(BudgetedReducer):
    """A method that can also do what its authors' program does, number for number.

    Attributes:
        original: whether to follow that program; every method says what it does differently.
    """

    adds_up: ClassVar[bool] = False
    """Whether that program adds tokens up, so that its weights do not sum to 1 and none are given."""

    original: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.original and self.tokens is not None:
            told = f"the authors' program of {self.name} keeps a share"
            raise ValueError(f"{told}: give retention, not tokens={self.tokens}")

    @property
    def exact(self) -> bool:
        """Whether the count is known from frames and cells alone: in the authors' program, where there is a formula."""
        return not self.original or type(self).original_count is not PublishedReducer.original_count

    def count(self, frames: int, cells: int) -> int:
        """Number of tokens K that F frames of N cells are folded to.

        Raises:
            ValueError: with these settings it depends on the content (`exact` is False).
        """
        return self.original_count(frames, cells) if self.original else super().count(frames, cells)

    def reduce_all(self, videos: Sequence[VideoTokens], *, weights: bool) -> list[Reduction]:
        """`Reducer.reduce_all`; a ValueError for weights of a program that adds tokens up."""
        if self.original and self.adds_up and weights:
            raise ValueError(
                f"{self.name} with original=True adds tokens up, so it has no weights that sum to 1: use weights=False"
            )
        return super().reduce_all(videos, weights=weights)

    def original_count(self, frames: int, cells: int) -> int:
        """The count in the authors' program, in methods where it does not depend on the content."""
        raise ValueError(
            f"the count of {self!r} depends on the video's content; it is known beforehand with original=False"
        )


def _restored(reduction: Reduction, side: Tensor | None, scale: Tensor | None, weights: bool) -> Reduction:
    """The reduction of a video that was folded ``scale`` times as large, with its side features folded as well."""
    largest = torch.finfo(reduction.tokens.dtype).max
    return dataclasses.replace(
        reduction,
        # A mean of the largest numbers may round up to infinity.
        tokens=reduction.tokens if scale is None else (reduction.tokens / scale).clamp_(-largest, largest),
        side=None if side is None else _folded(reduction, side),
        weights=reduction.weights if weights else None,
    )


def _contiguous(tokens: VideoTokens) -> VideoTokens:
    """The video with every field contiguous, so that the same values are always summed in the same order."""
    tensors = {name: value for name, value in vars(tokens).items() if isinstance(value, Tensor)}
    changes: dict[str, Any] = {name: value.contiguous() for name, value in tensors.items() if not value.is_contiguous()}
    return dataclasses.replace(tokens, check=False, **changes) if changes else tokens


def _in_range(tokens: VideoTokens) -> tuple[VideoTokens, Tensor | None]:
    """The video with features of at most 2**40, whose squares have finite sums in float32, and by what it is scaled.

    The scale is a power of two, so scaling is exact; None: not scaled. Off the host, where a look would be a wait, the
    scale is 1 then.
    """
    features = tokens.features
    if torch.finfo(features.dtype).max <= _LARGEST:
        return tokens, None
    peak = torch.stack(features.aminmax()).abs().amax()
    if on_host(peak) and peak <= _LARGEST:
        return tokens, None
    scale = torch.exp2((math.log2(_LARGEST) - peak.frexp().exponent).clamp_max(0).to(peak.dtype))
    newline = None if tokens.newline is None else tokens.newline * scale
    return dataclasses.replace(tokens, check=False, features=features * scale, newline=newline), scale


def given(tokens: VideoTokens, name: Field, frames: slice = slice(None)) -> Tensor:
    """A field that `Reducer.needs` has, of some frames, on the language grid: (F, N) or (F, N, E) float32."""
    values: Tensor = getattr(tokens, name)
    return tokens.pool(values[frames].float())


def _folded(reduction: Reduction, side: Tensor) -> Tensor:
    """Side features (levels, F, S, E) folded with the weights of the tokens: (levels, K, E)."""
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
    """The reduction that keeps pooled tokens unchanged, those of ``index``: (K,) int64 flat f*N + cell, ascending.

    With ``weights`` it has the one-hot (K, F*N) matrix.
    """
    matrix = Mix.selection(index, tokens.frames * tokens.cells).matrix() if weights else None
    kept = tokens.pooled().flatten(0, 1)[index]
    return Reduction.of(tokens, kept, index // tokens.cells, index % tokens.cells, matrix)

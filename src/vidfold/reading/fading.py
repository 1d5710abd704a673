"""What is kept of a past that does not end: a fixed number of tokens whose resolution fades with age."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.reducers.base import BudgetedReducer
from vidfold.tokens import Pooling, Reduction, VideoTokens


@dataclass(frozen=True, eq=False, repr=False)
class Span:
    """What a stretch of a stream became.

    Attributes:
        first, last: its frames, counted from the beginning of the stream.
        tokens: (K, D).
        times: (K,) float64, seconds of the frame that each token stands for, ascending.
        cells: (K,) int64, the cell of the language grid.
        side: (levels, K, E), features that the language model adds in later layers, or None.
    """

    first: int
    last: int
    tokens: Tensor
    times: Tensor
    cells: Tensor
    side: Tensor | None = None

    @classmethod
    def of(cls, reduction: Reduction, first: int, times: Tensor) -> "Span":
        """The reduction of frames from ``first`` on, with ``times`` (F,) float64 of all of them.

        A frame of the reduction may be several of these (a temporal patch), whose first time it has.
        """
        height, width = reduction.grid
        steps = reduction.full // (height * width)
        seconds = times[torch.arange(steps) * len(times) // steps].to(reduction.tokens.device)
        last = first + len(times) - 1
        return cls(first, last, reduction.tokens, seconds[reduction.frames], reduction.cells, reduction.side)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Memory of it."""
        parts = (self.tokens, self.times, self.cells, self.side)
        return sum(each.nbytes for each in parts if each is not None)


def joined(spans: Sequence[Span]) -> Span:
    """Spans that follow one another, as one."""
    sides = [each.side for each in spans if each.side is not None]
    return Span(
        spans[0].first,
        spans[-1].last,
        torch.cat([each.tokens for each in spans]),
        torch.cat([each.times for each in spans]),
        torch.cat([each.cells for each in spans]),
        torch.cat(sides, 1) if sides else None,
    )


def folded(span: Span, keep: int, method: BudgetedReducer) -> Span:
    """A span in ``keep`` tokens; one that stands for others is their mean, with the time and place of one of them."""
    if len(span) <= keep:
        return span
    side = None if span.side is None else span.side[:, None]
    video = VideoTokens(span.tokens[None], (1, len(span)), Pooling.NONE, side=side, check=False)
    reduction = dataclasses.replace(method, retention=keep / len(span))(video)
    at = reduction.cells
    return Span(span.first, span.last, reduction.tokens, span.times[at], span.cells[at], reduction.side)


def fading(spans: Sequence[Span], now: int) -> int:
    """Which span shall become one with its successor, at frame ``now``: the two are the shortest for their age.

    With a fixed number of spans of equal size, the length of a span then grows with its age, and tokens a frame fall as
    1 / age: the resolution halves where the age doubles.
    """
    shares = [
        (later.last - earlier.first + 1) / (now - earlier.first + 1) for earlier, later in itertools.pairwise(spans)
    ]
    return shares.index(min(shares))

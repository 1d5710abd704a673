"""One call whose videos lose tokens between layers: where they are in the prompts, and what every drop keeps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.drops import Drop
from vidfold.models.inner.ranking import best
from vidfold.tokens import Reduction


@dataclass(frozen=True, eq=False)
class Limit:
    """What a drop keeps of the prompts.

    Attributes:
        tokens: (V + 2,) int64, tokens left in every segment of `Run`.
        width: length of the longest row then.
        padded: whether rows are padded then.
    """

    tokens: Tensor
    width: int
    padded: bool


@dataclass(frozen=True, eq=False)
class Stage:
    """The tokens that are kept from one layer on.

    Attributes:
        columns: (B, M) int64, where each stood in the sequence that the decoder was given.
        segments: (B, M) int64, as in `Run`.
        padded: whether some may be padding.
    """

    columns: Tensor
    segments: Tensor
    padded: bool


@dataclass(eq=False)
class Run:
    """The prompts of one call.

    Attributes:
        segments: (B, L) int64, the video 0..V-1 that a token belongs to, V for text and newlines, V + 1 for padding.
        text: V.
        asking: (B,) int64, column of the token whose attention ranks.
        right: whether rows are padded on the right.
        limits: what each drop keeps, by its layer; without drops that keep everything.
        trims: whether the call made the cache itself, so that a cache of fixed length may become shorter.
        stages: what each drop left in the last pass over the prompts, by its layer.
    """

    segments: Tensor
    text: int
    asking: Tensor
    right: bool
    limits: dict[int, Limit]
    trims: bool = False
    stages: dict[int, Stage] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        places: Tensor,
        mask: Tensor,
        videos: Sequence[Reduction],
        closing: int,
        drops: Sequence[Drop],
        labels: Tensor | None = None,
    ) -> "Run":
        """The run of prompts as the language model is given them.

        Args:
            places: (B, L) bool, placeholders of the videos.
            mask: (B, L), nonzero where a token is no padding.
            videos: what stands in the placeholders, in their order.
            closing: newlines of the model's own after every video.
            drops: in the order of their layers.
            labels: (B, L), -100 where a token has none. The first one after a row's videos begins the answer, and the
                token before it asks; without labels the last token of the row does.
        """
        text, real = len(videos), mask.bool()
        segments = torch.full_like(places, text, dtype=torch.int64)
        segments = segments.masked_scatter(places, _owners(videos, closing)).masked_fill(~real, text + 1)
        columns = torch.arange(places.shape[1], device=places.device).expand_as(places)
        prompt = real
        if labels is not None:
            seen = columns.masked_fill(segments >= text, -1).amax(1, keepdim=True)
            prompt = real & (((labels != -100) & (columns > seen)).cumsum(1) == 0)
        held = segments.new_zeros(places.shape[0], text + 2).scatter_add(1, segments, torch.ones_like(segments))
        *counts, right = torch.cat([held.flatten(), (~real[:, -1:]).any(0)]).tolist()
        rows = [counts[first : first + text + 2] for first in range(0, len(counts), text + 2)]
        limits = {drop.layer: limit for drop in drops if (limit := _limit(rows, drop, segments)) is not None}
        return cls(segments, text, columns.masked_fill(~prompt, 0).amax(1), bool(right), limits)

    def begin(self, rows: int, length: int) -> Stage:
        """All tokens of a pass over the prompts, whose rows may be copied and followed by tokens made since.

        A ValueError where the pass holds only a part of the prompts.
        """
        width = self.segments.shape[1]
        if length < width:
            raise ValueError(
                f"the language model was given {length} of the prompt's {width} tokens at a time, but a method inside "
                "it ranks by the last of them and needs all at once: do not set prefill_chunk_size"
            )
        segments = functional.pad(self.segments, (0, length - width), value=self.text)
        columns = torch.arange(length, device=segments.device).expand(rows, length)
        return Stage(columns, segments.repeat_interleave(rows // segments.shape[0], 0), padded=True)

    def question(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Where in a stage the token is that asks, (B,) int64, and which tokens it may see, (B, M) bool."""
        asking = self.asking.repeat_interleave(stage.columns.shape[0] // self.asking.shape[0])[:, None]
        return (stage.columns == asking).int().argmax(1), (stage.columns <= asking) & self.real(stage)

    def real(self, stage: Stage) -> Tensor:
        """Which tokens of a stage are no padding, (B, M) bool."""
        return stage.segments <= self.text

    def drop(self, layer: int, stage: Stage, scores: Tensor, more: int) -> tuple[Stage, Tensor]:
        """Drop tokens at a layer.

        Args:
            layer: which drop.
            stage: the tokens left before it.
            scores: (B, M) float, of those tokens.
            more: how many tokens follow the prompts.

        Returns:
            The tokens left from the layer on, and where in ``stage`` they are, (B, M) int64.
        """
        limit = self.limits[layer]
        keep = best(scores, stage.segments, limit.tokens)
        width = limit.width + more
        index = keep.int().argsort(dim=1, stable=True)[:, -width:]
        if self.right and not more:
            index = keep.int().argsort(dim=1, descending=True, stable=True)[:, :width]
        kept = keep.gather(1, index)
        left = Stage(
            stage.columns.gather(1, index),
            stage.segments.gather(1, index).masked_fill(~kept, self.text + 1),
            limit.padded,
        )
        self.stages[layer] = left
        return left, index


def _owners(videos: Sequence[Reduction], closing: int) -> Tensor:
    """The segment of every token that stands in a placeholder, (tokens,) int64."""
    parts = []
    for number, video in enumerate(videos):
        height, width = video.grid
        parts.append(torch.where(video.cells < height * width, number, len(videos)))
        parts.append(video.cells.new_full((closing,), len(videos)))
    return torch.cat(parts)


def _limit(rows: Sequence[Sequence[int]], drop: Drop, like: Tensor) -> Limit | None:
    """What a drop keeps of rows with so many tokens in every segment; None where it keeps everything."""
    *videos, _, _ = [sum(column) for column in zip(*rows, strict=True)]
    left = [drop.left(tokens) for tokens in videos]
    if left == videos:
        return None
    widths = [row[-2] + sum(map(min, row, left)) for row in rows]
    tokens = torch.tensor([*left, torch.iinfo(torch.int64).max, 0], device=like.device)
    return Limit(tokens, max(widths), min(widths) < max(widths))

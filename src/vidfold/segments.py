"""Cutting a video into clips: uniform, given, or where the picture changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.budgets import check_count
from vidfold.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Segments:
    """Consecutive clips that cover a video.

    Attributes:
        starts: (C,) int64, first frame of each clip, ascending; F where there is no clip.
        lengths: (C,) int64, frames of each clip; 0 where there is no clip, so that C need not depend on the content.
        longest: an upper bound of the lengths that the host knows without asking the device.
    """

    starts: Tensor
    lengths: Tensor
    longest: int


class Segmenter(Protocol):
    """What cuts a video into clips; a frozen dataclass, so that a method that holds one can be compared and printed."""

    def __call__(self, tokens: VideoTokens, /) -> Segments:
        """Cut a video."""


def default_clip(frames: int) -> int:
    """Frames a clip: 4 for 32 frames and 8 for 64, as the AOT authors have it; F/8 between, never outside 4 to 8."""
    return min(frames, max(4, min(8, frames // 8)))


@dataclass(frozen=True)
class Uniform:
    """Clips of equal length.

    Attributes:
        clip: frames a clip; the last one takes what is left. None: `default_clip`.
    """

    clip: int | None = None

    def __post_init__(self) -> None:
        if self.clip is not None:
            check_count("clip", self.clip)

    def __call__(self, tokens: VideoTokens) -> Segments:
        """Cut a video of F frames into ceil(F / clip) clips."""
        frames = tokens.frames
        clip = min(self.clip or default_clip(frames), frames)
        starts = torch.arange(0, frames, clip, device=tokens.features.device)
        return Segments(starts, (frames - starts).clamp_max(clip), clip)


@dataclass(frozen=True)
class Fixed:
    """Clips given by hand.

    Attributes:
        spans: (first frame, length) of each clip; together they must cover the video in order, without gaps.
    """

    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        expected = 0
        for start, length in self.spans:
            if start != expected or length < 1:
                raise ValueError(
                    f"segments must follow one another without gaps and hold at least one frame each; "
                    f"({start}, {length}) should start at frame {expected}"
                )
            expected = start + length
        if not self.spans:
            raise ValueError("segments must hold at least one (start, length) pair, got none")

    def __call__(self, tokens: VideoTokens) -> Segments:
        """The given clips.

        Raises:
            ValueError: they do not cover the video's frames.
        """
        covered = sum(length for _, length in self.spans)
        if covered != tokens.frames:
            raise ValueError(f"segments cover {covered} frames, but the video has {tokens.frames}")
        starts, lengths = torch.tensor(self.spans, device=tokens.features.device).T.contiguous()
        return Segments(starts, lengths, max(length for _, length in self.spans))


@dataclass(frozen=True)
class DySeg:
    """Dynamic temporal segmentation: cut where neighbouring frames differ (FastVID, section 3.2).

    The frame vector is `VideoTokens.frame_features` where the model family gives one, else the mean of the frame's
    features.

    Attributes:
        clips: at least this many (at most F): the ``clips - 1`` least similar transitions are always cut.
        threshold: every transition whose cosine similarity is below is cut too. FastVID: 0.9 for the LLaVA family,
            0.84 for Qwen2.5-VL.
    """

    clips: int = 8
    threshold: float = 0.9

    def __post_init__(self) -> None:
        check_count("clips", self.clips)
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold must be a cosine similarity in [-1, 1], got {self.threshold!r}")

    def __call__(self, tokens: VideoTokens) -> Segments:
        """Cut a video; the number of clips stays on the device."""
        vectors = tokens.features.float().mean(1) if tokens.frame_features is None else tokens.frame_features.float()
        frames, device = tokens.frames, vectors.device
        least = min(self.clips, frames)
        unit = functional.normalize(vectors, dim=-1)
        similarity = (unit[:-1] * unit[1:]).sum(-1)
        rank = torch.empty_like(similarity, dtype=torch.int64)
        rank[similarity.argsort(stable=True)] = torch.arange(frames - 1, device=device)
        first = torch.ones(frames, dtype=torch.bool, device=device)
        first[1:] = (similarity < self.threshold) | (rank < least - 1)
        index = torch.arange(frames, device=device)
        starts = torch.where(first, index, frames).sort().values
        ends = torch.cat([starts[1:], starts.new_full((1,), frames)])
        return Segments(starts, ends - starts, frames - least + 1)


def segmenter(segments: Segmenter | Sequence[tuple[int, int]] | str | None, clip: int | None = None) -> Segmenter:
    """The segmenter that a method's ``segments`` field means.

    Args:
        segments: a segmenter, "uniform" (or None), "dynamic", or (start, length) pairs.
        clip: frames a clip, for uniform ones.

    Raises:
        ValueError: none of these, or a clip length for clips that are not uniform.
    """
    if segments in (None, "uniform"):
        return Uniform(clip)
    if clip is not None:
        raise ValueError(f"clip={clip!r} goes with uniform segments only, not with segments={segments!r}")
    if segments == "dynamic":
        return DySeg()
    if isinstance(segments, Sequence) and not isinstance(segments, str):
        return Fixed(tuple((int(start), int(length)) for start, length in segments))
    if callable(segments):
        return segments
    raise ValueError(f"segments must be 'uniform', 'dynamic', a segmenter or (start, length) pairs, got {segments!r}")

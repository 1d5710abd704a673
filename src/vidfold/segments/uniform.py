"""Clips of equal length, and clips given by hand."""

from dataclasses import dataclass

import torch

from vidfold.checks import Settings, check_count, setting
from vidfold.clips import Clips
from vidfold.tokens import VideoTokens


def default_clip(frames: int) -> int:
    """Frames per clip: F/8, limited to 4 to 8 (AOT's authors: 4 for 32 frames and 8 for 64), and at most F."""
    return min(frames, max(4, min(8, frames // 8)))


@dataclass(frozen=True)
class Uniform(Settings):
    """Clips of ``clip`` frames, where the last may be shorter; None: `default_clip`."""

    clip: int | None = setting(None, check_count, optional=True)

    def __call__(self, tokens: VideoTokens) -> Clips:
        """Cut a video of F frames into ceil(F / clip) clips."""
        frames = tokens.frames
        clip = min(self.clip or default_clip(frames), frames)
        starts = torch.arange(0, frames, clip, device=tokens.features.device)
        return Clips(starts, (frames - starts).clamp_max(clip), frames, clip)


@dataclass(frozen=True)
class Fixed:
    """Clips given by hand: ``spans``, (first frame, length) of each, cover the video in order, without gaps."""

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

    def __call__(self, tokens: VideoTokens) -> Clips:
        """The given clips; a ValueError where they do not cover the video's frames."""
        covered = sum(length for _, length in self.spans)
        if covered != tokens.frames:
            raise ValueError(f"segments cover {covered} frames, but the video has {tokens.frames}")
        starts, lengths = torch.tensor(self.spans, device=tokens.features.device).T.contiguous()
        return Clips(starts, lengths, covered, max(length for _, length in self.spans))

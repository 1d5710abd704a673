"""VidCom2: keep the tokens least like their frame and the video, and more tokens of unusual frames."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_choice, setting
from vidfold.ops.ranks import descending_rank, first_true
from vidfold.reducers.base import PublishedReducer, select
from vidfold.tokens import Reduction, VideoTokens

_BANDWIDTHS = (1 / 8, 1 / 4, 1 / 2, 1, 2)
_TEMPERATURE = 0.01

Variant = Literal["upstream", "vllm"]


@dataclass(frozen=True)
class VidCom2(PublishedReducer):
    """Video Compression Commander (EMNLP 2025, arXiv 2505.14454): keeps the least typical tokens of every frame.

    Tokens are compared on the half of the channels that varies least. A token's typicality is its Gaussian
    similarity (five bandwidths) to the mean of the video plus that to the mean of its frame. A frame's share of the
    budget grows with how little it resembles the video. The budget is then met over the whole video: if it is
    exceeded, the most typical kept tokens are dropped; if tokens are missing, the least typical others are added.

    Attributes:
        original: the budget of a published program instead.
        variant: which one: "upstream", the authors', where every frame keeps its own share and the count depends on
            the content; or "vllm", vLLM's max(F, floor(F*N*(1 - q))) for its pruning rate q = 1 - retention.
    """

    variant: Variant = setting("upstream", check_choice, of=Variant)

    name = "vidcom2"
    published = "VidCom2, EMNLP 2025, arXiv 2505.14454"
    idea = "keeps the tokens least like their frame and the video, more of the frames that stand out"

    @property
    def exact(self) -> bool:
        """Whether the count is known from frames and cells alone."""
        return not (self.original and self.variant == "upstream")

    def original_count(self, frames: int, cells: int) -> int:
        """In vLLM at least one token a frame; in the authors' program it depends on the content."""
        full = frames * cells
        if not self.exact:
            return super().original_count(frames, cells)
        return max(frames, min(int(full * (1 - (1 - self.retention))), full))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Kept pooled tokens in reading order."""
        of_video, of_frame = typicality(tokens.pooled().float())
        typical = of_video + of_frame
        per_frame = (frame_shares(of_video, self.retention) * tokens.cells).round().clamp_min(1)
        kept = (descending_rank(-typical) < per_frame[:, None]).flatten()
        if self.original and self.variant == "upstream":
            return select(tokens, kept.nonzero()[:, 0], weights=weights)
        # The frames' own choices first, each kind from the least typical on.
        by_typicality = typical.flatten().argsort(stable=True)
        index = by_typicality[first_true(kept[by_typicality], self.count(tokens.frames, tokens.cells))]
        return select(tokens, index.sort().values, weights=weights)


def typicality(features: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity (F, N) of every token (F, N, D) float32 to the mean of the video, and to the mean of its frame."""
    channels = max(1, features.shape[2] // 2)
    steady = features.flatten(0, 1).var(0, correction=0).argsort(stable=True)[:channels]
    unit = functional.normalize(features[:, :, steady], dim=-1)
    frame_means = unit.mean(1, keepdim=True)
    means = frame_means.mean(0, keepdim=True), frame_means
    of_video, of_frame = (_gaussians((unit - mean).square().sum(-1)) for mean in means)
    return of_video, of_frame


def frame_shares(of_video: Tensor, retention: float) -> Tensor:
    """Share (F,) of its tokens that each frame keeps, at most 1, on average about ``retention``.

    ``of_video`` (F, N) is the similarity of every token to the mean of the video.
    """
    unlike = -of_video.mean(1)
    weight = ((unlike - unlike.max()) / _TEMPERATURE).softmax(0)
    return (retention * (1 + weight - weight.mean())).clamp_max(1)


def _gaussians(squared: Tensor) -> Tensor:
    return torch.stack([torch.exp(-squared / (2 * width)) for width in _BANDWIDTHS]).sum(0)

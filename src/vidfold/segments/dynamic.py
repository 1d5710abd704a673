"""Cut a video where the picture changes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import Settings, check_count, check_threshold, setting
from vidfold.clips import Clips
from vidfold.ops.ranks import inverse
from vidfold.tokens import VideoTokens


@dataclass(frozen=True)
class DySeg(Settings):
    """Dynamic temporal segmentation: cut where neighbouring frames differ (FastVID, section 3.2).

    The frame vector is `VideoTokens.frame_features` if the model family gives it, else the mean of the frame's
    features.

    Attributes:
        clips: least number of clips (at most F): the ``clips - 1`` least similar transitions are always cut.
        threshold: every transition whose cosine similarity is below is cut too. FastVID: 0.9 for the LLaVA family,
            0.84 for Qwen2.5-VL.
    """

    clips: int = setting(8, check_count)
    threshold: float = setting(0.9, check_threshold)

    def __call__(self, tokens: VideoTokens) -> Clips:
        """Cut a video; the number of clips stays on the device."""
        return self.cut(tokens.features.float().mean(1) if tokens.frame_features is None else tokens.frame_features)

    def cut(self, vectors: Tensor) -> Clips:
        """Cut, given one vector a frame, (F, E)."""
        frames, device = len(vectors), vectors.device
        least = min(self.clips, frames)
        unit = functional.normalize(vectors.float(), dim=-1)
        similarity = (unit[:-1] * unit[1:]).sum(-1)
        rank = inverse(similarity.argsort(stable=True))
        first = torch.ones(frames, dtype=torch.bool, device=device)
        first[1:] = (similarity < self.threshold) | (rank < least - 1)
        return Clips.beginning(first, frames - least + 1)

"""Cut a video where merging static cells saves most tokens: segments by dynamic programming (HoliTom)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.checks import Settings, check_count, check_threshold, setting
from vidfold.clips import Clips
from vidfold.tokens import VideoTokens


@dataclass(frozen=True)
class OptimalSeg(Settings):
    """Temporal segments that save most tokens if static cells are merged within each segment (HoliTom, section 3.2).

    A cell is static over a transition if the similarity of its tokens before and after is above the threshold. A
    segment of L frames saves L - 1 tokens for every cell that is static throughout; the cuts maximise the sum. The
    dynamic program goes frame by frame, each step over all segments that end there; of equal sums the shortest last
    segment wins.

    Attributes:
        threshold: tau, cosine similarity in [-1, 1]. HoliTom: 0.8, and 0.65 in its runs at a tenth of the tokens.
        window: frames a segment at most.
    """

    threshold: float = setting(0.8, check_threshold)
    window: int = setting(1024, check_count)

    def __call__(self, tokens: VideoTokens) -> Clips:
        """Cut a video; the number of segments stays on the device."""
        return self.cut(similarities(tokens.pooled().float()) > self.threshold)

    def cut(self, still: Tensor) -> Clips:
        """Cut, given which cells are static over each transition, ``still`` (F-1, N) bool."""
        frames, device = len(still) + 1, still.device
        gains, longest = _gains(still), min(frames, self.window)
        best = torch.zeros(frames + 1, dtype=torch.int64, device=device)
        firsts = torch.zeros(frames + 1, frames, dtype=torch.bool, device=device)
        index = torch.arange(frames, device=device)
        for end in range(1, frames + 1):
            window = min(end, longest)
            sums = best[end - window : end].flip(0) + gains[end - 1, :window]
            length = sums.argmax(0, keepdim=True) + 1
            best[end] = sums.amax(0)
            firsts[end] = firsts.index_select(0, end - length)[0] | (index == end - length)
        return Clips.beginning(firsts[frames], longest)


def similarities(pooled: Tensor, earlier: Tensor | slice = slice(-1), later: slice = slice(1, None)) -> Tensor:
    """Cosine similarity (f, N) of each cell of pooled tokens (F, N, D) in f earlier and f later frames.

    By default before and after each transition, f = F-1.
    """
    norm = torch.linalg.vector_norm(pooled, dim=-1).clamp_min(1e-12)
    alike: Tensor = torch.linalg.vecdot(pooled[earlier], pooled[later]) / (norm[earlier] * norm[later])
    return alike


def _gains(still: Tensor) -> Tensor:
    """Tokens saved by the segment of L frames that ends with frame t: (F, F) int64, indexed by [t, L - 1]."""
    transitions = len(still)
    step = torch.arange(transitions, device=still.device)[:, None]
    run = step - torch.where(still, -1, step).cummax(0).values if transitions else still.long()
    runs = torch.zeros(transitions + 1, transitions + 1, dtype=torch.int64, device=still.device)
    runs[1:].scatter_add_(1, run, torch.ones_like(run))
    at_least = runs.flip(1).cumsum(1).flip(1)
    return at_least * torch.arange(transitions + 1, device=still.device)

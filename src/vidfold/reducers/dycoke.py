"""DyCoke's temporal token merging: every frame but the first of a window keeps only what changed."""

import math
from dataclasses import dataclass

import torch

from vidfold.checks import check_ratio, setting
from vidfold.ops.ranks import descending_rank, reading_order
from vidfold.ops.shares import evenly
from vidfold.reducers.base import PublishedReducer, select
from vidfold.segments.optimal import similarities
from vidfold.tokens import Reduction, VideoTokens

_WINDOW = 4


@dataclass(frozen=True)
class DyCoke(PublishedReducer):
    """DyCoke, temporal token merging (CVPR 2025, arXiv 2411.15024): its stage before the language model.

    In windows of four frames the second frame is compared with the first, the third with the first, the fourth with
    the third, cell by cell. Each keeps the tokens least like those of the earlier frame; the first keeps all. The
    published method cannot keep less than a quarter of the tokens. Here windows of 8, 16, ... frames follow the same
    rule: a frame is compared with the one whose place in the window has the lowest set bit cleared. A budget below
    one frame keeps evenly spaced cells of the first.

    Attributes:
        original: the authors' program, with ``drop`` in place of ``retention`` and with its faults: the third frame
            of the last window keeps all if that window is complete, the last of an odd number of frames is lost, and
            tokens come in order of similarity.
        drop: K, share of tokens that the later frames of a window lose, in [0, 1], with ``original``.
    """

    drop: float = setting(0.7, check_ratio, zero=True)

    name = "dycoke"
    published = "DyCoke, CVPR 2025, arXiv 2411.15024 (temporal token merging)"
    idea = "windows of frames: the first whole, of the others the tokens that differ most from an earlier frame"

    def original_count(self, frames: int, cells: int) -> int:
        """The sum over the frames."""
        return sum(self._kept_by_the_original(frames, cells))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K pooled tokens; no step waits for the device."""
        frames, cells, device = tokens.frames, tokens.cells, tokens.features.device
        total = self.count(frames, cells)
        frame = torch.arange(frames, device=device)
        if self.original:
            counts = torch.tensor(self._kept_by_the_original(frames, cells), device=device)
            earlier = torch.where(frame % 2 == 1, frame - 1, frame - 2).clamp_min(0)
            likeness = similarities(tokens.pooled().float(), earlier, slice(None))
            order = likeness.masked_fill((counts == cells)[:, None], 0).argsort(dim=1, stable=True)
            chosen = reading_order(torch.arange(cells, device=device) < counts[:, None], total)
            return select(tokens, (order + cells * frame[:, None]).flatten()[chosen], weights=weights)

        window = _WINDOW
        while window < frames and -(-frames // window) * cells > total:
            window *= 2
        whole = -(-frames // window)
        if total < whole * cells:
            return select(tokens, torch.arange(total, device=device) * cells // total, weights=weights)
        later = evenly(total - whole * cells, max(1, frames - whole), device)
        place = frame % window
        counts = torch.where(place == 0, cells, later[(frame - frame // window - 1).clamp_min(0)])
        likeness = similarities(tokens.pooled().float(), frame - (place & -place), slice(None))
        kept = descending_rank(-likeness) < counts[:, None]
        return select(tokens, reading_order(kept, total), weights=weights)

    def _kept_by_the_original(self, frames: int, cells: int) -> list[int]:
        """Tokens of each frame that the authors' program keeps."""
        some = math.floor((1 - self.drop) * cells)
        counts = [cells if frame % 2 == 0 else some for frame in range(frames)]
        for third in range(2, frames - 2, _WINDOW):
            counts[third] = some
        if frames % 2 and frames > 1:
            counts[-1] = 0
        return counts

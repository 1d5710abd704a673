"""VisionZip: the most attended tokens of each frame, and evenly spaced ones that absorb the rest by their keys."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_ratio, setting
from vidfold.linear import Mix
from vidfold.newlines import with_newlines
from vidfold.ops.ranks import descending_rank, first_true, gather_rows, reading_order
from vidfold.ops.shares import evenly
from vidfold.reducers.base import PublishedReducer, given
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class VisionZip(PublishedReducer):
    """VisionZip (CVPR 2025, arXiv 2412.04467), in its port to video: frame by frame.

    Of a frame's T tokens the share ``dominant`` are the most attended ones, kept unchanged. The rest, in raster order,
    offer every (rest div contextual)-th token as a contextual one; the others join the contextual token of highest
    cosine similarity of keys. Frames share the budget evenly.

    The original reads attention and keys of the last vision layer that is used (`deep_layer=-1` where a model family
    offers the choice).

    Attributes:
        dominant: share of a frame's tokens that the most attended ones get, rounded down, in [0, 1].
        original: the port's own arithmetic: ``tokens_per_frame`` in every frame in place of ``retention``; a contextual
            token is itself *plus* the mean of those that joined it, a sum; output frame by frame, dominant tokens
            before contextual ones. With a newline vector, as for LLaVA-Video, every row of every frame ends in one,
            and dominant tokens stand in wrong rows: the tokens are in raster order, their positions by attention.
        tokens_per_frame: T with ``original``. Official: 50, 40, 30, 20 for 25, 20, 15, 10 % of 196 tokens.
    """

    dominant: float = setting(54 / 64, check_ratio, zero=True)
    tokens_per_frame: int = setting(20, check_count)

    name = "visionzip"
    published = "VisionZip, CVPR 2025, arXiv 2412.04467 (video port)"
    idea = "most attended tokens of each frame, and evenly spaced ones that absorb the rest by keys"
    adds_up = True
    needs = frozenset({"deep", "keys"})

    def original_count(self, frames: int, cells: int) -> int:
        """The same number in every frame."""
        return frames * min(self.tokens_per_frame, cells)

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` are asked for."""
        frames, cells = tokens.frames, tokens.cells
        total = self.count(frames, cells)
        budget = evenly(total, frames, tokens.features.device)
        dominant = (budget.double() * self.dominant).floor().long()
        rank = descending_rank(given(tokens, "deep"))
        is_dominant = rank < dominant[:, None]
        most = -(-total // frames)
        goes_to = _contextual(given(tokens, "keys"), ~is_dominant, budget - dominant, most)

        index = torch.arange(frames * cells, device=rank.device).view(frames, cells)
        target = torch.where(is_dominant, index, torch.where(goes_to < cells, goes_to + index[:, :1], frames * cells))
        kept = target == index
        pooled = tokens.pooled().float()
        if not self.original:
            order = reading_order(kept, total)
            mix = Mix.means(target.flatten(), frames * cells).keep(order)
            return mix.reduction(tokens, pooled, order, weights=weights)

        means = Mix.blends(target.flatten(), 0.0)
        sums = dataclasses.replace(means, share=means.share.masked_fill(kept.flatten(), 1.0))
        role = torch.where(is_dominant, 0, torch.where(kept, 1, 2))
        order = (role.argsort(dim=1, stable=True)[:, : total // frames] + index[:, :1]).flatten()
        reduction = sums.keep(order).reduction(tokens, pooled, order, weights=False)
        if tokens.newline is None:
            return reduction
        by_attention = torch.where(is_dominant, rank - cells, role).argsort(dim=1, stable=True)[:, : total // frames]
        reduction = dataclasses.replace(reduction, cells=by_attention.flatten())
        every = torch.arange(frames * tokens.language_grid[0], device=rank.device)
        return with_newlines(reduction, tokens.newline, every)


def _contextual(keys: Tensor, rest: Tensor, count: Tensor, most: int) -> Tensor:
    """The contextual token that each token of the rest goes to, itself if it is one; N where there is none.

    Args:
        keys: (F, N, E).
        rest: (F, N) bool.
        count: (F,) int64, contextual tokens of each frame, at most the rest.
        most: an upper bound of it.
    """
    frames, cells = rest.shape
    wanted = count[:, None]
    place = rest.cumsum(1) - 1
    step = (rest.sum(1, keepdim=True) // wanted.clamp_min(1)).clamp_min(1)
    chosen = rest & (place % step == 0) & (place // step < wanted)
    index = torch.arange(cells, device=keys.device).expand(frames, cells)
    slots = first_true(chosen, most)
    likeness = keys @ functional.normalize(gather_rows(keys, slots), dim=-1).transpose(1, 2)
    likeness = likeness.masked_fill_(~chosen.gather(1, slots)[:, None, :], -torch.inf)
    joined = slots.gather(1, likeness.argmax(2)).masked_fill(wanted == 0, cells)
    return torch.where(chosen, index, joined)

"""ToMe: merge the most similar pairs of every frame, half against half, until the budget is met."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, setting
from vidfold.linear import Mix, sum_rows
from vidfold.ops.ranks import by_first_member, first_members, inverse
from vidfold.ops.shares import evenly
from vidfold.reducers.base import PublishedReducer, given
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class ToMe(PublishedReducer):
    """Token Merging's bipartite matching (ICLR 2023, arXiv 2210.09461), applied to each frame's final tokens.

    A step puts the tokens of a frame alternately into two halves; each of the first finds its most similar partner
    in the second, by the cosine of the attention keys; the most similar pairs merge, at most half of the tokens a
    step, until the frame's share of the budget is left. A merged token is the mean of all it holds and stands where
    the first of them stood. Published inside the vision tower, with fresh keys in every layer; here the keys are
    those of `VideoTokens.keys`, merged along with the tokens.

    K is split over the frames so that any run of them has its share to within one token; where K < F, the frames
    without a share are dropped.

    Attributes:
        original: the published order: ``tokens_per_frame`` of every frame, and after each step unmerged tokens come
            first, by descending similarity, which changes the halves of the next step; the output keeps that order.
            Otherwise tokens are put back into the order of their first members.
        tokens_per_frame: budget of the original, at most N.
    """

    tokens_per_frame: int = setting(20, check_count)

    name = "tome"
    published = "ToMe, ICLR 2023, arXiv 2210.09461"
    idea = "merges the most similar pairs of every frame, half against half"
    needs = frozenset({"keys"})

    def original_count(self, frames: int, cells: int) -> int:
        """The same number in every frame."""
        return frames * min(self.tokens_per_frame, cells)

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K merged tokens in reading order."""
        frames, device = tokens.frames, tokens.features.device
        total = self.count(frames, tokens.cells)
        keys = given(tokens, "keys")
        shares = evenly(total, frames)
        before = shares.cumsum(0) - shares

        labels = torch.full((frames, tokens.cells), total, device=device)
        for share in {total // frames, -(-total // frames)} - {0}:
            frame = (shares == share).nonzero()[:, 0]
            index, offset = frame.to(device), before[frame].to(device)
            labels[index] = merge_pairs(keys[index], share, by_similarity=self.original) + offset[:, None]
        flat = labels.flatten()
        if self.original:
            places = first_members(flat, total)
        else:
            flat, places = by_first_member(flat, total)
        return Mix.means(flat, total).reduction(tokens, tokens.pooled().float(), places, weights=weights)


def merge_pairs(metric: Tensor, target: int, *, by_similarity: bool = False) -> Tensor:
    """Which of ``target`` merged tokens each token goes into.

    Args:
        metric: (B, N, E) float32; a merged token's is the mean of its members'.
        target: tokens to keep, 1 to N.
        by_similarity: whether the unmerged tokens of the first half come first after each step, most similar first;
            otherwise tokens stay in the order of their first members.

    Returns:
        (B, N) int64 in [0, target).
    """
    batch, cells, _ = metric.shape
    labels = torch.arange(cells, device=metric.device).expand(batch, cells)
    while (left := metric.shape[1]) > target:
        metric, slots = _step(metric, min(left - target, left // 2), by_similarity)
        labels = slots.gather(1, labels)
    return labels


def _step(sums: Tensor, merges: int, by_similarity: bool) -> tuple[Tensor, Tensor]:
    """Merge the ``merges`` most similar pairs: the new sums (B, n - merges, E), and each token's slot (B, n) there."""
    batch, left, width = sums.shape
    unit = functional.normalize(sums, dim=-1)
    best, partner = (unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)).max(2)
    order = best.argsort(dim=1, descending=True, stable=True)
    merging = order[:, :merges]
    partner = 2 * partner.gather(1, merging) + 1
    # A slot is known by the one token that founds it.
    founder = torch.arange(left, device=sums.device).repeat(batch, 1).scatter_(1, 2 * merging, partner)
    if by_similarity:
        odd = torch.arange(1, left, 2, device=sums.device).expand(batch, -1)
        founders = torch.cat([2 * order[:, merges:], odd, 2 * merging], dim=1)
    else:
        place = torch.arange(left, device=sums.device).expand(batch, -1)
        first = torch.full_like(founder, left).scatter_reduce_(1, founder, place, "amin")
        founders = first.argsort(dim=1, stable=True)
    slots = inverse(founders).gather(1, founder)
    rows = slots + (left - merges) * torch.arange(batch, device=sums.device)[:, None]
    merged = sum_rows(sums.flatten(0, 1), rows.flatten(), batch * (left - merges))
    return merged.view(batch, left - merges, width), slots

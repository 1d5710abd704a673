"""FastVID: the salient tokens of every frame, and anchors of a few frames that absorb their whole segment."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_choice, check_count, check_ratio, check_threshold, setting
from vidfold.linear import Mix, counts
from vidfold.ops.clusters import density_peaks
from vidfold.ops.ranks import descending_rank, first_true, gather_rows, reading_order
from vidfold.ops.shares import host_bound
from vidfold.reducers.base import PublishedReducer, given
from vidfold.reducers.fastvid_budgets import Budget, Program, Quota
from vidfold.segments import DySeg
from vidfold.tokens import Reduction, VideoTokens

_REPEATED = 0.95


@dataclass(frozen=True)
class FastVID(PublishedReducer):
    """FastVID (NeurIPS 2025, arXiv 2503.11187): dynamic segments, salient tokens, density-based anchors.

    The video is cut where frames change (`vidfold.segments.DySeg`). A segment's budget goes to salient tokens, the most
    attended of each frame, kept unchanged, and for the share ``context`` to anchors: in every ``stride``-th frame,
    counted from the segment's last, density peaks among the tokens that are not salient. All other tokens of the
    segment join, once for every anchor frame, its anchor of highest cosine similarity. An anchor becomes a blend of
    itself and the mean of the tokens that joined it. Where frames would overflow, there are fewer anchors and more
    salient tokens.

    Saliency is the attention of the tower's pooling head where the model family gives it (as published), else received
    attention in a deep layer; the programs "ov" and "lv" read only the former.

    Attributes:
        clips: c, segments at least.
        threshold: tau, cosine similarity of frames below which the video is cut. Published: 0.9, Qwen2.5-VL 0.84.
        context: d, share of the budget for anchors, rounded down, in [0, 1].
        stride: p, frames from one anchor frame to the next.
        beta: weight of an anchor itself, in [0, 1]; at least its equal share with the tokens that joined it.
        neighbours: of the density peaks.
        original: False, or one of the authors' three programs with its own budget of floor(r N) tokens a frame.
            "ov" (LLaVA-OneVision) loses the remainder of the division among anchors, and an anchor joins itself.
            "lv" (LLaVA-Video) uses the whole budget, and the anchors of one frame join those of another. "qwen"
            (Qwen2.5-VL) is like "lv", but compares mean features of frames, counts runs of frames more alike than
            0.95 as one, and caps the tokens of a frame, so its count depends on the content.
    """

    clips: int = setting(8, check_count)
    threshold: float = setting(0.9, check_threshold)
    context: float = setting(0.4, check_ratio, zero=True)
    stride: int = setting(4, check_count)
    beta: float = setting(0.6, check_ratio, zero=True)
    neighbours: int = setting(4, check_count)
    original: Program = setting(False, check_choice, kw_only=True, of=Program)  # type: ignore[assignment]

    name = "fastvid"
    published = "FastVID, NeurIPS 2025, arXiv 2503.11187"
    idea = "dynamic segments; salient tokens of every frame, and density peaks that absorb their segment"

    @property
    def needs(self) -> frozenset[str]:
        """Attention of the tower's pooling head for the programs that read no other, else received attention."""
        return frozenset({"head_attention"} if self.original in ("ov", "lv") else {"deep"})

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` or an original are asked for.

        Every token of a segment meets all its anchor frames, so cost grows with the square of a segment's length.
        """
        frames, cells = tokens.frames, tokens.cells
        total = None if self.original else self.count(frames, cells)
        pooled = tokens.pooled().float()
        quota = self._quota(tokens, pooled)
        attention = given(tokens, "deep" if tokens.head_attention is None else "head_attention")
        salient = descending_rank(attention) < quota.salient[:, None]
        offers = ~salient & (quota.anchors > 0)[:, None]
        anchor = density_peaks(pooled, offers.long() - 1, quota.anchors[:, None], self.neighbours).centre

        joins = self._joins(pooled, salient, anchor, quota)
        full = frames * cells
        members = counts(joins.flatten(), full + 1).float()
        own = (1 / (members + 1)).clamp_min(self.beta)
        others = (1 - own) / members.clamp_min(1)
        index = torch.arange(full, device=anchor.device)
        mix = Mix(
            target=torch.cat([index, joins.flatten()]),
            share=torch.cat([own[:-1], others[joins.flatten()]]),
            sources=full,
            rows=full,
            source=index.repeat(1 + len(joins)),
        )
        order = reading_order(salient | anchor, total)
        return mix.keep(order).reduction(tokens, pooled, order, weights=weights)

    def _quota(self, tokens: VideoTokens, pooled: Tensor) -> Quota:
        """What each frame may keep."""
        frames, cells = tokens.frames, tokens.cells
        means = pooled.mean(1)
        segments = DySeg(self.clips, self.threshold)
        clips = segments.cut(means) if self.original == "qwen" else segments(tokens)
        budget = Budget(clips, cells, self.context, self.stride)
        if not self.original:
            return budget.exact(self.count(frames, cells))
        repeated = torch.zeros(frames, dtype=torch.bool, device=pooled.device)
        if self.original == "qwen":
            alike = functional.cosine_similarity(means[:-1], means[1:], dim=-1) >= _REPEATED
            repeated[:-1] = alike & (clips.clip_of[1:] == clips.clip_of[:-1])
        return budget.original(self.original, math.floor(cells * self.retention), repeated)

    def _joins(self, pooled: Tensor, salient: Tensor, anchor: Tensor, quota: Quota) -> Tensor:
        """Which anchor of each anchor frame of its segment, counted from the last, a token joins.

        Returns:
            (Q, F*N) int64, flat index of the anchor; F*N where the token joins none.
        """
        frames, cells = salient.shape
        full = frames * cells
        most = host_bound(anchor.sum(1), quota.most)
        slots = first_true(anchor, most)
        filled = anchor.gather(1, slots)
        offered = functional.normalize(gather_rows(pooled, slots), dim=-1)
        frame = torch.arange(frames, device=salient.device)
        joins = torch.full((quota.sources.shape[1], frames, cells), full, device=salient.device)
        for join, source in zip(joins, quota.sources.T, strict=True) if most else ():
            asks = (source < frames) & filled[source.clamp_max(frames - 1)].any(1)
            asking = host_bound(asks.sum(), frames)
            rows = frame if asking == frames else first_true(asks, asking)
            to = source[rows].clamp_max(frames - 1)
            likeness = (pooled if asking == frames else pooled[rows]) @ offered[to].transpose(1, 2)
            best = likeness.masked_fill_(~filled[to][:, None, :], -torch.inf).argmax(2)
            member = ~salient[rows] & asks[rows, None]
            if self.original in ("lv", "qwen"):
                member &= ~(anchor[rows] & (rows == to)[:, None])
            elif not self.original:
                member &= ~anchor[rows]
            join[rows] = torch.where(member, slots[to].gather(1, best) + cells * to[:, None], full)
        return joins.flatten(1)

"""FlashVID: diverse attended tokens of every frame, and trees of alike tokens over time, clustered in each frame."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.checks import check_choice, check_count, check_positive, check_ratio, check_threshold, setting
from vidfold.clips import Clips
from vidfold.linear import Mix, counts
from vidfold.ops.clusters import density_peaks
from vidfold.ops.components import roots
from vidfold.ops.ranks import reading_order
from vidfold.ops.shares import apportion, evenly
from vidfold.reducers.base import PublishedReducer, given
from vidfold.reducers.flashvid_stages import diverse, likest_before, ranks_in_segments
from vidfold.segments import DySeg
from vidfold.tokens import Reduction, VideoTokens

Selection = Literal["attn_div_v2", "attn_div"]


@dataclass(frozen=True)
class FlashVID(PublishedReducer):
    """FlashVID (ICLR 2026), its stage before the language model.

    The video is cut where frames change (`vidfold.segments.DySeg`). Attention- and diversity-based selection (ADTS)
    keeps the share ``alpha`` of every frame's tokens unchanged: farthest first, by cosine distance times attention.
    Tree-based merging (TSTM): within a segment, every other token joins the most similar one of the frame before, if
    more similar than ``temporal_threshold``; a tree becomes the mean of its tokens and stands where its first token
    stood. If the budget needs more trees, the least similar tokens do not join. The remaining trees of each frame are
    clustered by density peaks to meet the budget.

    ADTS is serial over a frame's chosen tokens, all frames at once. The original reads attention of the last vision
    layer that is used (`deep_layer=-1` where a model family offers the choice).

    Attributes:
        alpha: share of the budget that ADTS selects, rounded up in every frame, in [0, 1].
        selection: "attn_div_v2" also weights by the dot product with the segment's mean token, not below 0;
            "attn_div" does not.
        temporal_threshold: cosine similarity above which a token joins one of the frame before.
        segment_threshold: cosine similarity of frames below which the video is cut.
        segments: at least this many.
        neighbours: k of the density peaks; at most the number of centres.
        original: the authors' program: ``ceil(expansion r N)`` tokens a frame, spatial clusters rounded up, so the
            count depends on the content; frames are compared by their mean tokens; a tree is the sum of its tokens
            over one plus the *direct* children of its root; one-frame segments cluster the selected tokens once more;
            with "attn_div_v2" the product may be negative and a token may be chosen twice.
        expansion: factor of the budget, with ``original``: the authors prune again inside the language model.
    """

    alpha: float = setting(0.7, check_ratio, zero=True)
    selection: Selection = setting("attn_div_v2", check_choice, of=Selection)
    temporal_threshold: float = setting(0.8, check_threshold)
    segment_threshold: float = setting(0.9, check_threshold)
    segments: int = setting(8, check_count)
    neighbours: int = setting(7, check_count)
    expansion: float = setting(1.25, check_positive)

    name = "flashvid"
    published = "FlashVID, ICLR 2026, arXiv 2602.08024 (stage before the language model)"
    idea = "diverse attended tokens of every frame; trees of alike tokens over time, clustered in each frame"
    adds_up = True
    needs = frozenset({"deep"})

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` or the original are asked for."""
        frames, cells = tokens.frames, tokens.cells
        full = frames * cells
        total = None if self.original else self.count(frames, cells)
        pooled = tokens.pooled().float()
        index = torch.arange(full, device=pooled.device).view(frames, cells)
        segments = DySeg(self.segments, self.segment_threshold)
        clips = segments.cut(pooled.mean(1)) if self.original else segments(tokens)
        budget, most = self._budget(tokens, total)
        selecting = (budget.double() * self.alpha).ceil().long()
        repeats = self.original and self.selection == "attn_div_v2"
        chosen = diverse(pooled, self._importance(tokens, pooled, clips), selecting, most, repeats=repeats)
        selected = chosen > 0

        left = budget - selecting
        over_time, trees = self._trees(pooled, ~selected, budget, left, clips)
        if self.original:
            trees |= (clips.length == 1)[:, None]
        counts = self._clusters(trees.sum(1), left, clips)
        clusters = density_peaks(
            pooled, trees.long() - 1, counts[:, None], self.neighbours, capped=True, merge=over_time
        )
        joined = torch.where(clusters.nearest < cells, clusters.nearest + index[:, :1], full)
        target = torch.where(trees, joined, torch.where(selected, index, full))
        mix = over_time.then(Mix.means(target.flatten(), full))
        if not self.original:
            order = reading_order(selected | clusters.centre, total)
            return mix.keep(order).reduction(tokens, pooled, order, weights=weights)
        again, order = reading_order(selected, None), reading_order(clusters.centre, None)
        again = again.repeat_interleave(chosen.flatten()[again])
        # Tokens of both may stand on the same cell.
        rows = torch.cat([pooled.flatten(0, 1)[again], mix.keep(order)(pooled.flatten(0, 1))])
        places, by_place = torch.cat([again, order]).sort(stable=True)
        return Reduction.of(tokens, rows[by_place], places // cells, places % cells)

    def _budget(self, tokens: VideoTokens, total: int | None) -> tuple[Tensor, int]:
        """Tokens of each frame (F,), and the most that ADTS selects in one."""
        device = tokens.features.device
        if total is None:
            each = min(tokens.cells, math.ceil(tokens.cells * self.retention * self.expansion))
            return torch.full((tokens.frames,), each, device=device), math.ceil(each * self.alpha)
        return evenly(total, tokens.frames, device), math.ceil(-(-total // tokens.frames) * self.alpha)

    def _importance(self, tokens: VideoTokens, pooled: Tensor, clips: Clips) -> Tensor:
        """Weight (F, N) of every token in ADTS."""
        attention = given(tokens, "deep")
        if self.selection == "attn_div":
            return attention
        mean = clips.sums(pooled.mean(1)) / clips.length[:, None]
        relevance = (pooled @ mean[:, :, None])[:, :, 0]
        return attention * (relevance if self.original else relevance.clamp_min(0))

    def _trees(self, pooled: Tensor, free: Tensor, budget: Tensor, left: Tensor, clips: Clips) -> tuple[Mix, Tensor]:
        """Merge free tokens (F, N) over time: the merge, and which of them (F, N) are roots of trees."""
        similarity, cell = likest_before(pooled, free, clips)
        joins = similarity > self._threshold(similarity, budget, clips)
        if not self.original:
            room = clips.sums(free.sum(1) - left)
            joins &= ranks_in_segments(similarity, clips)[0] < room[:, None]
        index = torch.arange(joins.numel(), device=joins.device).view_as(joins)
        parent = torch.where(joins, cell + index[:, :1] - joins.shape[1], index).flatten()
        root = roots(parent, len(joins) - 1)
        if not self.original:
            return Mix.means(root, len(root)), free & ~joins
        # Of a root's occurrences as a parent one is its own.
        share = counts(parent, len(parent)).float().reciprocal()[root]
        return Mix(root, share, len(root), len(root)), free & ~joins

    def _threshold(self, similarity: Tensor, budget: Tensor, clips: Clips) -> Tensor | float:
        """Similarity above which tokens join: a number, or in the original (F, 1), raised where too many would."""
        if not self.original:
            return self.temporal_threshold
        cells = similarity.shape[1]
        spare = clips.length * (cells - budget)
        joining = clips.sums((similarity > self.temporal_threshold).sum(1))
        by_segment = ranks_in_segments(similarity, clips)[1]
        edge = by_segment[clips.first * cells + (spare - 1).clamp_min(0)].clamp_min(self.temporal_threshold)
        return torch.where(joining > spare, edge, self.temporal_threshold)[:, None]

    def _clusters(self, trees: Tensor, left: Tensor, clips: Clips) -> Tensor:
        """Spatial clusters of each frame (F,), given its trees (F,) and its budget without selected tokens (F,)."""
        frame = torch.arange(len(trees), device=trees.device)
        if not self.original:
            totals = torch.zeros_like(left).scatter_add_(0, clips.first, left)
            return apportion(totals, torch.where(clips.first == frame[:, None], trees, 0)).sum(0)
        ratio = clips.sums(left) / clips.sums(trees).double()
        return torch.where(ratio < 1, (trees * ratio).ceil().long(), trees)

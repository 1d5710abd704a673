"""DynVid: anchors that serve the lively tokens of a segment, each joined by the tokens nearest to it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_positive, check_ratio, setting
from vidfold.clips import Clips
from vidfold.linear import Mix, sum_rows
from vidfold.ops.cover import facility
from vidfold.ops.ranks import inverse, reading_order
from vidfold.ops.shares import proportional
from vidfold.reducers.base import BudgetedReducer, given
from vidfold.tokens import Reduction, VideoTokens

_BY_SIZE = 0.05
"""Part of a segment's share of the budget that goes by its number of tokens."""
_FLAT, _LEAST_WEIGHT = 1e-8, 1e-4


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segments of one length: which ones, the flat index (B, n) of every token, and the cosines (B, n, n)."""

    places: list[int]
    rows: Tensor
    cosine: Tensor


@dataclass(frozen=True)
class DynVid(BudgetedReducer):
    """Dynamism-aware compression (DynVid), after its authors' description for LLaVA, not compared with its program.

    The video is cut into segments where neighbouring frames are unlike, by their means of unit tokens. A segment's
    share of the budget is its participation ratio tr(G)^2 / |G|^2, the number of directions that its unit tokens fill.
    A token's weight is the attention it receives plus its dynamism: how unlike it is to its best match in the frame
    before and after, plus the difference of the two. Anchors of a segment are chosen by facility location on cosine
    with these weights. Every other token is shared among the anchors most similar to it, and a token that is kept is
    ``own`` times an anchor plus the rest of the mean that falls to it. The stage inside the language model is left
    out.

    Every value is compared with others by sigmoid((x - mean) / standard deviation): of transitions over the video, of
    attention over the frame, of dynamism and of the sum over the segment. What rounding leaves of the budget goes to
    the largest fractions; a segment has at least one token where there are enough. Serial in the anchors of a segment;
    the host waits for the device twice: for the lengths of the segments, and for their budgets.

    Attributes:
        clips: least number of segments (at most F).
        cut_below: a transition of a lower standing, in (0, 1), is cut.
        nearest: among how many anchors a token is shared.
        temperature: of the softmax over their cosines.
        own: weight of the anchor itself in its mean.
    """

    clips: int = setting(8, check_count)
    cut_below: float = setting(0.55, check_ratio)
    nearest: int = setting(10, check_count)
    temperature: float = setting(0.01, check_positive)
    own: float = setting(0.25, check_ratio)

    name = "dynvid"
    published = "DynVid (authors' repository)"
    idea = "anchors that serve the attended and changing tokens of a segment, joined by the tokens nearest to them"
    needs = frozenset({"deep"})

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K merged tokens in reading order."""
        pooled = tokens.pooled().float()
        frames, cells = tokens.frames, tokens.cells
        unit = functional.normalize(pooled, dim=-1)
        attended, lively = standing(given(tokens, "deep")), dynamism(unit)
        total = self.count(frames, cells)
        alike = self._by_length(self.cut(unit), unit)
        budgets = self._budgets(alike, total)
        host = budgets.tolist()
        kept, edges = torch.zeros(frames * cells, dtype=torch.bool, device=unit.device), []
        for group in alike:
            weight = standing(attended.flatten()[group.rows] + standing(lively.flatten()[group.rows]))
            everyone = torch.ones_like(weight, dtype=torch.bool)
            most = max(1, *(host[place] for place in group.places))
            anchors, _ = facility(1 - group.cosine.clamp_min(0), weight.clamp_min(_LEAST_WEIGHT), everyone, most)
            there = torch.arange(most, device=unit.device) < budgets[group.places][:, None]
            chosen = torch.zeros_like(everyone).scatter(1, anchors, there)
            kept[group.rows] = chosen
            edges.append(self._edges(group, anchors, there, chosen))

        places = reading_order(kept.view(frames, cells), total)
        source, anchor, share = (torch.cat(part) for part in zip(*edges, strict=True))
        row = functional.pad(torch.where(kept, kept.cumsum(0) - 1, total), (0, 1), value=total)
        mix = Mix(row[anchor], share, frames * cells, total, source)
        return mix.reduction(tokens, pooled, places, weights=weights)

    def cut(self, unit: Tensor) -> Clips:
        """The segments of unit tokens (F, N, D)."""
        frames, least = len(unit), min(self.clips, len(unit))
        means = functional.normalize(unit.mean(1), dim=-1)
        similar = standing((means[:-1] * means[1:]).sum(-1))
        first = torch.ones(frames, dtype=torch.bool, device=unit.device)
        first[1:] = (similar < self.cut_below) | (inverse(similar.argsort(stable=True)) < least - 1)
        return Clips.beginning(first, frames - least + 1)

    def _by_length(self, cut: Clips, unit: Tensor) -> list[_Segments]:
        """The segments of unit tokens (F, N, D), those of one length together."""
        cells, device = unit.shape[1], unit.device
        lengths = [length for length in cut.lengths.tolist() if length]
        alike = []
        for length in sorted(set(lengths)):
            places = [place for place, other in enumerate(lengths) if other == length]
            first = cut.starts[places][:, None] * cells
            rows = first + torch.arange(length * cells, device=device)
            vectors = unit.flatten(0, 1)[rows]
            alike.append(_Segments(places, rows, vectors @ vectors.transpose(1, 2)))
        return alike

    def _budgets(self, alike: list[_Segments], total: int) -> Tensor:
        """Tokens (C,) int64 of every segment."""
        count = sum(len(group.places) for group in alike)
        share = alike[0].cosine.new_empty(count)
        size = torch.empty(count, dtype=torch.int64, device=share.device)
        for group in alike:
            trace = group.cosine.diagonal(dim1=1, dim2=2).sum(1)
            filled = trace.square() / group.cosine.square().sum((1, 2)).clamp_min(_FLAT)
            size[group.places] = group.rows.shape[1]
            share[group.places] = (1 - _BY_SIZE) * filled + _BY_SIZE * group.rows.shape[1]
        sure = int(total >= count)
        return proportional(total - sure * count, share, size - sure) + sure

    def _edges(self, group: _Segments, anchors: Tensor, there: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Edges of the mix: flat indices of source and anchor, -1 for none, and share.

        Args:
            group: B segments of n tokens.
            anchors: (B, m) int64, places of the anchors.
            there: (B, m) bool, which of them are within the budget.
            chosen: (B, n) bool, which tokens are anchors.
        """
        cosine, rows = group.cosine, group.rows
        batch, size = rows.shape
        near = cosine.gather(2, anchors[:, None].expand(-1, size, -1)).masked_fill(~there[:, None], -torch.inf)
        near, which = near.topk(min(self.nearest, anchors.shape[1]), dim=2)
        # Of a segment without anchors every entry is -inf, and nothing is shared.
        share = (near / self.temperature).softmax(2).nan_to_num(0) * ~chosen[:, :, None]
        target = anchors.gather(1, which.flatten(1)).view_as(which)
        flat = (target + size * torch.arange(batch, device=rows.device)[:, None, None]).flatten()
        received = sum_rows(share.flatten()[:, None], flat, batch * size).view(batch, size)
        alone = received <= _FLAT
        of_others = ((1 - self.own) / received.clamp_min(_FLAT)).masked_fill(alone, 0.0).flatten()[flat]
        itself = torch.full_like(received, self.own).masked_fill(alone, 1.0)
        nowhere = torch.full_like(rows, -1)
        return (
            torch.cat([rows.flatten(), rows[:, :, None].expand_as(which).flatten()]),
            torch.cat([torch.where(chosen, rows, nowhere).flatten(), rows.flatten()[flat]]),
            torch.cat([(itself * chosen).flatten(), share.flatten() * of_others]),
        )


def standing(values: Tensor) -> Tensor:
    """sigmoid((x - mean) / standard deviation) along the last axis (..., n); 0.5 where all are equal."""
    count = values.shape[-1]
    apart = values - values.mean(-1, keepdim=True)
    deviation = (apart.square().sum(-1, keepdim=True) / max(1, count - 1)).sqrt()
    return torch.where(deviation < _FLAT, 0.5, (apart / deviation.clamp_min(_FLAT)).sigmoid())


def dynamism(unit: Tensor) -> Tensor:
    """How new unit tokens (F, N, D) are among their neighbouring frames, plus how much the two differ: (F, N)."""
    between = unit[:-1] @ unit[1:].transpose(1, 2)
    ahead = functional.pad(between.amax(2), (0, 0, 0, 1)).clamp_min(0)
    behind = functional.pad(between.amax(1), (0, 0, 1, 0)).clamp_min(0)
    return (1 - torch.maximum(ahead, behind)).clamp_min(0) + (ahead - behind).abs()

"""HoliTom's outer stage: merge static cells over optimal segments, then reduce each set by the same ratio."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.checks import check_count, check_ratio, check_threshold, setting
from vidfold.linear import Mix
from vidfold.newlines import with_newlines
from vidfold.ops.clusters import density_peaks
from vidfold.ops.ranks import descending_rank, reading_order
from vidfold.ops.shares import apportion
from vidfold.ops.still import Still
from vidfold.reducers.base import PublishedReducer, given
from vidfold.segments.optimal import OptimalSeg, similarities
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class HoliTom(PublishedReducer):
    """HoliTom (NeurIPS 2025, arXiv 2505.21334), its stage before the language model.

    The video is cut where merging static cells saves most tokens (`vidfold.segments.OptimalSeg`). Static cells of
    a segment are merged over time; the merged tokens are clustered by density peaks, and a centre absorbs the mean of
    its members. Of each frame's other tokens the most attended stay. Both kinds are reduced by the same ratio, rounded
    by largest remainders. Every segment keeps a static token if the budget allows one for each. Where the budget is
    larger than the number of tokens after merging, the least steady cells are not merged.

    The original reads attention of the last vision layer that is used (`deep_layer=-1` where a model family offers the
    choice).

    Attributes:
        threshold: tau, cosine similarity above which a cell is static over a transition. The authors use 0.65 for
            their runs at a tenth of the tokens.
        window: frames a segment at most.
        beta: weight of a centre itself beside the mean of its members, in [0, 1].
        neighbours: K of the density peaks; at most the number of centres.
        original: the authors' counts: per frame rounded up, per segment to the nearest, so more than the retention and
            depending on the content; each segment's static tokens come before the rest. With a newline vector, as for
            LLaVA-Video, output in reading order, a newline after every row that keeps a token.
    """

    threshold: float = setting(0.8, check_threshold)
    window: int = setting(1024, check_count)
    beta: float = setting(0.6, check_ratio, zero=True)
    neighbours: int = setting(7, check_count)

    name = "holitom"
    published = "HoliTom, NeurIPS 2025, arXiv 2505.21334 (outer stage)"
    idea = "optimal segments; static cells merged over time and clustered, the most attended of the others"
    needs = frozenset({"deep"})

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` or the original are asked for."""
        frames, cells = tokens.frames, tokens.cells
        full = frames * cells
        total = None if self.original else self.count(frames, cells)
        pooled = tokens.pooled().float()
        still = self._still(pooled, None if total is None else full - total)
        lead, dynamic = still.lead, ~still.static
        sizes = torch.stack([lead.sum(1), dynamic.sum(1)])
        static_count, dynamic_count = self._counts(sizes, total, full)

        over_time = still.merge()
        clusters = density_peaks(
            pooled, lead.long() - 1, static_count[:, None], self.neighbours, capped=True, merge=over_time
        )
        attention = given(tokens, "deep").masked_fill(~dynamic, -torch.inf)
        chosen = dynamic & (descending_rank(attention) < dynamic_count[:, None])
        index = torch.arange(full, device=lead.device).view(frames, cells)
        joined = torch.where(clusters.nearest < cells, clusters.nearest + index[:, :1], full)
        target = torch.where(lead, joined, torch.where(chosen, index, full))
        mix = over_time.then(Mix.blends(target.flatten(), self.beta))

        kept = clusters.centre | chosen
        order = reading_order(kept, total)
        if self.original and tokens.newline is None:
            # Static tokens of a segment stand in its first frame and come before that frame's own.
            order = order[(order // cells * 2 + chosen.flatten()[order]).argsort(stable=True)]
        reduction = mix.keep(order).reduction(tokens, pooled, order, weights=weights)
        if self.original and tokens.newline is not None:
            return with_newlines(reduction, tokens.newline)
        return reduction

    def _still(self, pooled: Tensor, most: int | None) -> Still:
        """The cells to merge, of pooled tokens (F, N, D), saving ``most`` tokens at most."""
        alike = similarities(pooled)
        clips = OptimalSeg(self.threshold, self.window).cut(alike > self.threshold)
        inside = (clips.clip_of[1:] == clips.clip_of[:-1])[:, None]
        # Over every transition of a segment.
        least = torch.full_like(pooled[..., 0], torch.inf).scatter_reduce_(
            0, clips.clip_of[1:, None].expand_as(alike), alike.masked_fill(~inside, torch.inf), "amin"
        )
        return Still.of(clips, least[clips.clip_of], self.threshold, most)

    def _counts(self, sizes: Tensor, total: int | None, full: int) -> Tensor:
        """Tokens kept (2, F) of the static and dynamic sets of each frame, of sizes (2, F)."""
        if total is not None:
            least = torch.stack([torch.ones_like(sizes[0]), torch.zeros_like(sizes[1])])
            return apportion(total, sizes.flatten(), least.flatten()).view_as(sizes)
        ratio = min(1.0, self.retention / (int(sizes.sum()) / full))
        static, dynamic = sizes.double() * ratio
        return torch.stack([static.round(), dynamic.ceil()]).long()

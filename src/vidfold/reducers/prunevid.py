"""PruneVid's merging stage: clusters of frames, static cells merged over time, clusters of tokens in every set."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_ratio, check_threshold, setting
from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops.clusters import density_peaks
from vidfold.ops.ranks import reading_order
from vidfold.ops.shares import apportion
from vidfold.ops.still import Still
from vidfold.reducers.base import PublishedReducer
from vidfold.tokens import Reduction, VideoTokens

_SMALL = 14


@dataclass(frozen=True)
class PruneVid(PublishedReducer):
    """PruneVid (ACL Findings 2025, arXiv 2412.16117), its merging before the language model.

    Frames are clustered by density peaks into scenes, made contiguous. Cells whose tokens stay alike over a scene are
    static and merged over time. The static tokens of each scene and the other tokens of each frame are clustered by
    density peaks, each cluster becomes its mean. The sets share the budget in proportion to their sizes, at least one
    token each while it suffices. Where the budget is larger than the number of tokens after merging, the least steady
    cells are not merged.

    Attributes:
        threshold: tau, mean cosine similarity over all pairs of a scene's frames above which a cell is static.
        segment_ratio: clusters of frames as a share of the frames, in (0, 1].
        neighbours: k of the density peaks.
        original: the authors' program with ``cluster_ratio`` in place of ``retention``: sets of at most 14 tokens are
            kept whole, the count depends on the content, clusters come in order of falling score, static ones first.
        cluster_ratio: clusters of a set as a share of its tokens, rounded down, in [0, 1], with ``original``.
    """

    threshold: float = setting(0.8, check_threshold)
    segment_ratio: float = setting(0.25, check_ratio)
    neighbours: int = setting(7, check_count)
    cluster_ratio: float = setting(0.5, check_ratio, zero=True)

    name = "prunevid"
    published = "PruneVid, ACL Findings 2025, arXiv 2412.16117 (merging stage)"
    idea = "scenes by clustering frames; static cells merged over time; clusters of every set of tokens"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` or the original are asked for."""
        frames, cells = tokens.frames, tokens.cells
        full = frames * cells
        total = None if self.original else self.count(frames, cells)
        pooled = tokens.pooled().float()
        clips = contiguous(self.frame_labels(pooled))
        still = Still.of(clips, _steadiness(pooled, clips), self.threshold, None if total is None else full - total)
        lead, dynamic = still.lead, ~still.static
        sizes = torch.stack([dynamic.sum(1), lead.sum(1)], dim=1)

        over_time = still.merge()
        group = torch.where(dynamic, 0, torch.where(lead, 1, -1))
        clusters = density_peaks(pooled, group, self._counts(sizes, total), self.neighbours, merge=over_time)
        index = torch.arange(full, device=lead.device).view(frames, cells)
        target = torch.where(clusters.nearest < cells, clusters.nearest + index[:, :1], full)
        mix = over_time.then(Mix.means(target.flatten(), full))

        order = reading_order(clusters.centre, total)
        if self.original:
            small = sizes.gather(1, group.clamp_min(0)) <= _SMALL
            place = torch.where(small, index, index[:, :1] + clusters.rank) + (index[:, :1] + cells * ~lead)
            order = order[place.flatten()[order].argsort()]
        return mix.keep(order).reduction(tokens, pooled, order, weights=weights)

    def frame_labels(self, pooled: Tensor) -> Tensor:
        """Cluster of each frame of pooled tokens (F, N, D), (F,) int64; clusters are numbered by falling score."""
        frames, device = len(pooled), pooled.device
        count = torch.full((1, 1), max(1, int(self.segment_ratio * frames)), device=device)
        group = torch.zeros(1, frames, dtype=torch.int64, device=device)
        clusters = density_peaks(pooled.mean(1)[None], group, count, self.neighbours)
        return clusters.rank.gather(1, clusters.nearest)[0]

    def _counts(self, sizes: Tensor, total: int | None) -> Tensor:
        """Clusters (F, 2) of every set, of sizes (F, 2)."""
        if total is not None:
            return apportion(total, sizes.flatten(), 1).view_as(sizes)
        return torch.where(sizes > _SMALL, (sizes.double() * self.cluster_ratio).floor().long(), sizes)


def contiguous(labels: Tensor) -> Clips:
    """Clips of frames (F,) with any labels: the longest runs of every label stay, the others join their neighbours.

    A run stays if it has two frames at least and no other run of its label is longer. From left to right, the frames
    of other runs join the longer of the two runs beside them as these are then; of equal ones the left one. Serial
    over the frames.
    """
    frames, device = len(labels), labels.device
    index = torch.arange(frames, device=device)
    length = _runs(labels).length
    longest = torch.zeros_like(labels).scatter_reduce_(0, labels, length, "amax")[labels]
    stays = (length == longest) & (length > 1)

    # The next run that stays, as seen from each frame; frame F: there is none.
    following = torch.where(stays, index, frames).flip(0).cummin(0).values.flip(0)
    right = functional.pad(labels, (0, 1))[following]
    right_length = functional.pad(length, (0, 1))[following]
    result = torch.where(stays, labels, right)
    run = torch.ones_like(length[0])
    for frame in range(1, frames):
        before = result[frame - 1]
        goes_right = stays[frame - 1] & (right_length[frame] > run)
        label = torch.where(stays[frame], labels[frame], torch.where(goes_right, right[frame], before))
        result[frame] = label
        run = torch.where(label == before, run + 1, 1)
    return _runs(result)


def _runs(labels: Tensor) -> Clips:
    """The runs of equal labels of frames (F,)."""
    return Clips.beginning(functional.pad(labels[1:] != labels[:-1], (1, 0), value=True))


def _steadiness(pooled: Tensor, clips: Clips) -> Tensor:
    """Mean cosine similarity (F, N) over all pairs of different frames of the segment that each frame lies in."""
    frames, cells, _ = pooled.shape
    place = (clips.clip_of[:, None] * cells + torch.arange(cells, device=pooled.device)).flatten()
    norm = torch.linalg.vector_norm(pooled, dim=-1).clamp_min(1e-12).flatten()
    sums = Mix(place, 1 / norm, frames * cells, clips.most * cells)(pooled.flatten(0, 1))
    resultant: Tensor = torch.linalg.vector_norm(sums, dim=-1).square().view(clips.most, cells)[clips.clip_of]
    length = clips.length[:, None]
    return (resultant - length) / (length * (length - 1)).clamp_min(1)

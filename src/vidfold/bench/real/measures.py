"""What folded tokens keep of a video: its tokens, names, regions seen in another view, shots.

Every measure prepares what it needs of a video once, and then measures any number of folds of it. But for the errors of
`represented`, values are shares in [0, 1], and higher is better. A video that lacks what is measured has no value.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from vidfold.bench import features
from vidfold.bench.real.cache import CROP, Encoded
from vidfold.bench.real.names import Names
from vidfold.tokens import Grid, Reduction, VideoTokens

Values = dict[str, float]
Measured = Callable[[Reduction, Tensor], Values]
"""Values of a folded video, by name, from the cosines (F*N, K) of all its tokens to the folded ones."""
REGION = 3
"""Side of a region in patches of its view."""
_MOVED = 8  # every eighth token is moved: the transport cost of all would take longer than everything else
NEAR = 2.0
"""A region is found in its place if the found token lies at most so many cells away."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One video to fold.

    Attributes:
        tokens: its frames.
        cuts: numbers of the frames that begin a new shot, ascending; empty for one shot.
        video: the encoded video with its views; None for joined shots of several videos.
    """

    tokens: VideoTokens
    cuts: tuple[int, ...] = ()
    video: Encoded | None = None


def represented(subject: Subject) -> Measured:
    """Quantisation error, coverage, and transport cost of every eighth token (`vidfold.bench.features`)."""
    moved = subject.tokens.pooled().flatten(0, 1)[::_MOVED]

    def measured(reduction: Reduction, similar: Tensor) -> Values:
        nearest = similar.amax(1)
        return {
            "quantisation_error": features.quantisation_error(nearest),
            "coverage": features.coverage(nearest),
            "transport": features.transport_cost(moved, reduction.tokens),
        }

    return measured


def named(subject: Subject, names: Names) -> Measured:
    """Whether a patch, a frame and the video still get the name that they had before folding.

    A patch is read from the folded token that is most similar to it. A frame is the mean of its tokens' vectors, before
    and after folding; a frame without tokens is read from the nearest frame that has one. The video is the mean of all.
    """
    everything = subject.tokens.pooled()
    vectors = names.vectors(everything.flatten(0, 1)).view(*everything.shape[:2], -1)
    patches, frames, whole = (
        names.best(each) for each in (vectors.flatten(0, 1), vectors.mean(1), vectors.mean((0, 1)))
    )

    def measured(reduction: Reduction, similar: Tensor) -> Values:
        kept = names.vectors(reduction.tokens)
        counts = torch.bincount(reduction.frames, minlength=len(frames))
        sums = torch.zeros(len(frames), kept.shape[1]).index_add_(0, reduction.frames, kept)
        filled = counts.nonzero()[:, 0]
        read = filled[(torch.arange(len(frames))[:, None] - filled).abs().argmin(1)]
        return {
            "name_patch": _share(names.best(kept)[similar.argmax(1)] == patches),
            "name_frame": _share(names.best(sums)[read] == frames),
            "name_video": float(names.best(kept.mean(0)) == whole),
        }

    return measured


def found(subject: Subject, others: Tensor) -> Measured:
    """Whether regions of views that were not folded find their video, their time and their place.

    Every region is looked up among the folded tokens by cosine similarity. It finds its video if the best one is more
    similar than all tokens of ``others``, (M, D) unit vectors of other videos; without others nothing is told. It finds
    its time if that token stands for one of the frames around it (or for its own, where the view shows a frame), its
    place if it is `NEAR`.
    """
    video = subject.video
    if video is None or not len(others):
        return lambda *_: {}
    grid = subject.tokens.grid
    regions, places = _regions(video, grid)
    moments = video.moments.repeat_interleave(len(regions) // len(video.moments))
    rival = (regions @ others.T).amax(1)

    def measured(reduction: Reduction, _: Tensor) -> Values:
        best, index = (regions @ normalize(reduction.tokens, dim=-1).T).max(1)
        width = reduction.grid[1]
        cells = reduction.cells[index]
        at = torch.stack([cells // width, cells % width], 1)
        return {
            "find_video": _share(best > rival),
            "find_time": _share((reduction.frames[index] - moments).abs() < 1),
            "find_place": _share((at - places).norm(dim=1) <= NEAR),
        }

    return measured


def shots(subject: Subject) -> Measured:
    """Recall of every shot: the share of its tokens that a folded token of the same shot covers (`features.COVERED`).

    ``shot_recall`` is the mean over shots, whatever their length, ``shot_worst`` the shot with the least.
    """
    tokens, cuts = subject.tokens, subject.cuts
    if not cuts:
        return lambda *_: {}
    prefix = "" if subject.video else "joined_"
    bounds = [0, *cuts, tokens.frames]

    def measured(reduction: Reduction, similar: Tensor) -> Values:
        recalls = []
        for first, last in itertools.pairwise(bounds):
            own = (reduction.frames >= first) & (reduction.frames < last)
            elsewhere = similar.view(tokens.frames, -1, len(reduction))[first:last].masked_fill(~own, -1)
            recalls.append(features.coverage(elsewhere.amax(-1)))
        return {f"{prefix}shot_recall": math.fsum(recalls) / len(recalls), f"{prefix}shot_worst": min(recalls)}

    return measured


def joined(parts: Sequence[VideoTokens], lengths: Sequence[int]) -> Subject:
    """The first ``lengths`` frames of several videos, one after another: shots whose cuts are known exactly."""
    fields = ("features", "shallow", "deep", "keys")
    merged: dict[str, Any] = {
        name: torch.cat([getattr(part, name)[:count] for part, count in zip(parts, lengths, strict=True)])
        for name in fields
    }
    cuts = torch.tensor([min(part.frames, count) for part, count in zip(parts, lengths, strict=True)]).cumsum(0)[:-1]
    return Subject(VideoTokens(grid=parts[0].grid, check=False, **merged), tuple(cuts.tolist()))


def _regions(video: Encoded, grid: Grid) -> tuple[Tensor, Tensor]:
    """Regions of the views, (V*R, D) unit vectors, and the places of their middles in cells of the frame, (V*R, 2)."""
    count, _, width = video.views.shape
    planes = normalize(video.views, dim=-1).transpose(1, 2).reshape(count, width, *grid)
    means = avg_pool2d(planes, REGION)
    rows, columns = (torch.arange(side) * REGION + (REGION - 1) / 2 for side in means.shape[2:])
    inside = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
    # From cells of the view to cells of the frame, both counted from the middle of the first.
    size = torch.tensor(grid)
    places = (video.corners[:, None] + CROP * (inside + 0.5) / size) * size - 0.5
    return normalize(means.flatten(2).transpose(1, 2).flatten(0, 1), dim=-1), places.flatten(0, 1)


def _share(right: Tensor) -> float:
    return float(right.float().mean())

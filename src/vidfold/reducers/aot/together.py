"""Several videos of one shape folded side by side: as one long video whose clips end where a video ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.reducers.base import with_fields
from vidfold.tokens import Reduction, VideoTokens

MOST = 1 << 28
"""Numbers of features that are folded together at most: memory grows with them, and a device is busy with fewer."""


def side_by_side(
    videos: Sequence[VideoTokens],
    cut: Callable[[VideoTokens], Clips],
    fold: Callable[[VideoTokens, Clips, int], Reduction],
) -> list[Reduction]:
    """Fold several videos, those of one shape together; each result is as of the video alone.

    Args:
        videos: of any shapes.
        cut: gives the clips of one video.
        fold: folds the frames of so many videos, one after the other, each clip on its own.
    """
    groups: dict[object, list[int]] = {}
    for index, video in enumerate(videos):
        features = video.features
        key = features.shape, features.dtype, features.device, video.grid, video.pooling
        groups.setdefault(key, []).append(index)
    folded: dict[int, Reduction] = {}
    for indices in groups.values():
        size = max(1, MOST // videos[indices[0]].features.numel())
        for at in range(0, len(indices), size):
            part = indices[at : at + size]
            same = [videos[index] for index in part]
            whole = fold(_joined(same), Clips.joined([cut(video) for video in same]), len(same))
            folded.update(zip(part, _split(whole, len(same)), strict=True))
    return [folded[index] for index in range(len(videos))]


def _joined(videos: Sequence[VideoTokens]) -> VideoTokens:
    """The frames of videos of one shape one after the other, with what `AOT` and `AOTPaper` read of them."""
    if len(videos) == 1:
        return videos[0]
    joined: dict[str, Tensor | None] = {}
    for name in ("features", "shallow", "deep"):
        given = [getattr(video, name) for video in videos]
        joined[name] = None if any(each is None for each in given) else torch.cat(given)
    return with_fields(videos[0], joined)


def _split(whole: Reduction, videos: int) -> list[Reduction]:
    """The reductions of as many videos of one shape, which keep the same number of tokens each."""
    if videos == 1:
        return [whole]
    height, width = whole.grid
    count, full = len(whole) // videos, whole.full // videos
    frames = full // (height * width)
    parts = []
    for video in range(videos):
        rows = slice(video * count, (video + 1) * count)
        weights = None if whole.weights is None else _block(whole.weights, video, videos)
        tokens, cells = whole.tokens[rows], whole.cells[rows]
        own = whole.frames[rows] - video * frames
        parts.append(replace(whole, tokens=tokens, frames=own, cells=cells, full=full, weights=weights))
    return parts


def _block(matrix: Tensor, index: int, blocks: int) -> Tensor:
    """One of the equal blocks on the diagonal of a sparse, coalesced matrix."""
    rows, columns = (side // blocks for side in matrix.shape)
    places, values = matrix.indices(), matrix.values()
    own = places[0] // rows == index
    moved = torch.stack([places[0][own] - index * rows, places[1][own] - index * columns])
    return torch.sparse_coo_tensor(moved, values[own], (rows, columns), check_invariants=False).coalesce()

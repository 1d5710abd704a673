"""Methods that fold each clip on its own: several videos of one shape are then one long video."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidfold.clips import Clips, Segmenter
from vidfold.reducers.base import BudgetedReducer
from vidfold.segments import segmenter
from vidfold.tokens import Reduction, VideoTokens

CPU_BLOCK, DEVICE_BLOCK = 1 << 23, 1 << 28
"""Numbers that a step works on at a time: 32 MiB in float32, which the caches of a CPU hold; 1 GiB elsewhere."""


@dataclass(frozen=True)
class ClipwiseReducer(BudgetedReducer):
    """A method that keeps tokens in proportion to frames and in which no clip depends on another.

    Attributes:
        clip: frames a clip, for uniform segments; the last clip takes what is left. None: the method's own choice.
        segments: "uniform", "dynamic", "optimal", a segmenter, or (start, length) pairs.
    """

    clip: int | None = field(default=None, kw_only=True)
    segments: Segmenter | Sequence[tuple[int, int]] | str = field(default="uniform", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        segmenter(self.segments, self.clip)

    def cut(self, tokens: VideoTokens) -> Clips:
        """The clips of a video."""
        return segmenter(self.segments, self.clip)(tokens)

    @abstractmethod
    def fold(self, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Reduction:
        """Fold one or more videos, given as one, to ``total`` tokens."""

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; with uniform clips no step waits for the device unless ``weights`` are asked for."""
        return self.reduce_all([tokens], weights=weights)[0]

    def reduce_all(self, videos: Sequence[VideoTokens], *, weights: bool) -> list[Reduction]:
        """`reduce` for several videos; those of one shape are folded side by side."""
        groups: dict[object, list[int]] = {}
        for index, video in enumerate(videos):
            features = video.features
            key = features.shape, features.dtype, features.device, video.grid, video.pooling
            groups.setdefault(key, []).append(index)
        folded: dict[int, Reduction] = {}
        for indices in groups.values():
            first = videos[indices[0]]
            size = max(1, DEVICE_BLOCK // first.features.numel())
            for at in range(0, len(indices), size):
                part = indices[at : at + size]
                same = [videos[index] for index in part]
                clips = Clips.joined([self.cut(video) for video in same])
                total = len(same) * self.count(first.frames, first.cells)
                whole = self.fold(_joined(same), clips, total, weights=weights)
                folded.update(zip(part, _split(whole, len(same)), strict=True))
        return [folded[index] for index in range(len(videos))]


def block_size(like: Tensor, numbers: int) -> int:
    """How many items of so many numbers are worked on at a time on the device of a tensor; at least one."""
    return max(1, (CPU_BLOCK if like.device.type == "cpu" else DEVICE_BLOCK) // numbers)


def _joined(videos: Sequence[VideoTokens]) -> VideoTokens:
    """The frames of videos of one shape one after the other, with what `AOT` and `AOTPaper` read of them."""
    if len(videos) == 1:
        return videos[0]
    joined: dict[str, Tensor] = {}
    for name in ("features", "shallow", "deep"):
        given = [getattr(video, name) for video in videos]
        if all(each is not None for each in given):
            joined[name] = torch.cat(given)
    return VideoTokens(**joined, grid=videos[0].grid, pooling=videos[0].pooling, check=False)


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

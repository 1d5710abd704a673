"""AOT as its authors' program computes it, number for number, for comparison with their results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_ratio, check_weight, setting
from vidfold.clips import Clips
from vidfold.ops.ranks import descending_rank, first_true, window_rank
from vidfold.reducers.aot.absorb import matrix_of, pooling_matrix, spread, surviving
from vidfold.reducers.aot.reference_phases import inter_merge, intra_mix
from vidfold.reducers.base import Reducer
from vidfold.segments import Segmenter, Uniform, segmenter
from vidfold.tokens import Reduction, VideoTokens

_WINDOWS = 3


class _Rows(NamedTuple):
    """Tokens on their way: values (n, D + marks), the frame and cell each stands for."""

    values: Tensor
    frames: Tensor
    cells: Tensor


@dataclass(frozen=True)
class AOTReference(Reducer):
    """The authors' implementation of AOT (Anchors + Optimal Transport, CVPR 2026, arXiv 2603.01400).

    It differs from the paper: the phase-I cost has a grid distance and its result a share of nearest-anchor means;
    transport stops after a few iterations, phase I for all frames together; merging comes before pooling; a clip
    gives its key frame's anchors twice, unchanged first and merged last; the number of tokens depends on the content.
    For faithful comparison it loops over clips and frames and waits for the device at every decision, as the
    original does. Use `AOT` for everything else.

    Any frame count, grid and anchor count works; what the original cannot do (fewer than nine local anchors, no
    anchor left in a frame) is left out, or keeps the tokens.

    Attributes:
        anchors: V, anchors a frame on the encoder grid. Its local half is cut to a multiple of the 3x3 windows.
        keep: q, quantile of the transport below which a later frame's token is kept as temporal dynamics, in [0, 1].
        global_ratio: share of the anchors chosen by deep attention, in [0, 1].
        inter_scale: weight of the merged tokens in phase II.
        inter: whether phase II (over time) runs at all.
        clip: frames a clip; None: 4 for 32 frames, 8 for 64, see `vidfold.segments.default_clip`.
        segments: clips in place of the uniform ones: "dynamic", "optimal", a segmenter, or (start, length) pairs.
    """

    anchors: int = setting(126, check_count)
    keep: float = setting(0.3, check_ratio, zero=True)
    global_ratio: float = setting(0.5, check_ratio, zero=True)
    inter_scale: float = setting(1.0, check_weight)
    inter: bool = True
    clip: int | None = None
    segments: Segmenter | Sequence[tuple[int, int]] | str | None = None

    name = "aot-reference"
    published = "AOT, CVPR 2026, arXiv 2603.01400 (authors' implementation)"
    idea = "attention anchors absorb the rest by transport, in the frame, then along the clip; content-dependent count"
    needs = frozenset({"shallow", "deep"})

    def __post_init__(self) -> None:
        super().__post_init__()
        segmenter(self.segments, self.clip)

    @property
    def exact(self) -> bool:
        """Never: the count depends on the content."""
        return False

    def count(self, frames: int, cells: int) -> NoReturn:
        """Refused with a ValueError: the count depends on the content."""
        raise ValueError(
            "the count of aot-reference depends on the video's content and is known only after folding; "
            "use AOT(retention=...) where it must be known beforehand"
        )

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold by the authors' formulas, in float32."""
        features, shallow, deep = (getattr(tokens, name).float() for name in ("features", "shallow", "deep"))
        index_mask = self.index_mask(shallow, deep, tokens.grid)
        pooled_mask = tokens.pool(index_mask.float()) >= 0.5
        most = int(pooled_mask.sum(1).max())
        cells = first_true(pooled_mask, most)
        mix = surviving(pooling_matrix(tokens), cells, *intra_mix(features, index_mask, tokens.grid))
        merged = mix @ features
        if weights:
            merged = torch.cat([merged, mix], dim=2)
        # Without phase II each frame is a clip of its own.
        cut = (segmenter(self.segments, self.clip) if self.inter else Uniform(1))(tokens)
        rows = self._fold_clips(cut, merged, cells, pooled_mask.sum(1).tolist(), tokens)

        width = features.shape[-1]
        matrix = None
        if weights:
            newline = tokens.newline is not None
            sources = tokens.features.shape[1] + newline
            matrix = matrix_of(rows.values[:, width:], cut.first[rows.frames], sources, tokens.frames, newline=newline)
        return Reduction.of(tokens, rows.values[:, :width], rows.frames, rows.cells, matrix)

    def index_mask(self, shallow: Tensor, deep: Tensor, grid: tuple[int, int]) -> Tensor:
        """Anchors (F, H*W) bool of each frame on the encoder grid, by attention received (F, H*W) in two layers."""
        patches = shallow.shape[1]
        if self.anchors > patches:
            raise ValueError(f"anchors={self.anchors} is more than the {patches} patches of a {grid} grid")
        if self.anchors == patches:
            return torch.ones_like(shallow, dtype=torch.bool)
        local = math.trunc(self.anchors * (1 - self.global_ratio))
        is_local = window_rank(shallow, grid, _WINDOWS) < local // _WINDOWS**2
        is_global = descending_rank(deep.masked_fill(is_local, -torch.inf)) < self.anchors - local
        return is_local | is_global

    def _fold_clips(self, cut: Clips, merged: Tensor, cells: Tensor, counts: list[int], tokens: VideoTokens) -> _Rows:
        """Phase II over every clip."""
        width = tokens.features.shape[-1]
        out: list[_Rows] = []
        for start, length in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True):
            clip = []
            for position, frame in enumerate(range(start, start + length)):
                values, own = merged[frame, : counts[frame]], cells[frame, : counts[frame]]
                if tokens.newline is not None:
                    values, own = _with_newlines(values, own, tokens)
                if values.shape[1] > width:
                    place = torch.tensor([position], device=values.device)
                    marks = spread(values[None, :, width:], place, cut.longest)[0]
                    values = torch.cat([values[:, :width], marks], dim=1)
                clip.append(_Rows(values, torch.full_like(own, frame), own))
            out.extend(self._merge_clip(clip, width) if clip else [])
        return _Rows(*(torch.cat(parts) for parts in zip(*out, strict=True)))

    def _merge_clip(self, frames: list[_Rows], width: int) -> list[_Rows]:
        """The clip's output: key frame unchanged, later frames' kept tokens, then the merged anchors."""
        key = frames[0]
        merged, out = key.values, [key]
        for gap, later in enumerate(frames[1:], start=1):
            kept, merged = inter_merge(merged, later.values, gap, self.keep, self.inter_scale, width)
            out.append(_Rows(*(part[kept] for part in later)))
        if len(frames) > 1:
            out.append(key._replace(values=merged))
        return out


def _with_newlines(values: Tensor, cells: Tensor, tokens: VideoTokens) -> tuple[Tensor, Tensor]:
    """A frame's rows (n, D + marks) and cells (n,), with the newline vector after every row of the language grid.

    The cell of a newline is N + row, its mark a column of its own.
    """
    assert tokens.newline is not None
    height, width = tokens.language_grid
    marks = values.shape[1] - len(tokens.newline)
    newline = functional.pad(tokens.newline.float(), (0, marks))
    if marks:
        values, newline = functional.pad(values, (0, 1)), functional.pad(newline, (0, 1), value=1.0)
    row = torch.arange(height, device=cells.device)
    place = torch.cat([cells + cells // width, row * (width + 1) + width])
    order = place.argsort()
    values = torch.cat([values, newline.expand(height, -1)])
    return values[order], torch.cat([cells, tokens.cells + row])[order]

"""AOT as the paper has it, on an exact budget: attention anchors, balanced transport, frames and clips in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.checks import check_count, check_ratio, check_weight
from vidfold.ops import lineage
from vidfold.reducers.aot.paper_budget import clip_budget
from vidfold.reducers.aot.paper_phases import Candidates, Clips, phase_one, phase_two
from vidfold.reducers.base import BudgetedReducer
from vidfold.segments import Segmenter, segmenter
from vidfold.tokens import Reduction, VideoTokens


@dataclass(frozen=True)
class AOTPaper(BudgetedReducer):
    """Anchors + Optimal Transport (CVPR 2026, arXiv 2603.01400) with an exact budget, for any video.

    Phase I: in each frame, local anchors (most attended of each window in a shallow layer) and global ones (most
    attended in a deep layer) absorb the other tokens by entropic optimal transport. Phase II: clip by clip, the
    first frame's anchors absorb what the later frames' anchors repeat; of each later frame the share ``keep`` that
    transport finds hardest to place is kept as temporal dynamics. Output in order of time, then raster.

    ``AOT.reference(...)`` is the authors' own implementation instead, number for number.

    Attributes:
        retention: share of the tokens to keep, in (0, 1]; met exactly.
        keep: share of a later frame's anchors that is kept, in [0, 1]. The paper tunes a threshold instead; the scripts
            of its program take 0.3 at 10 % of the tokens, and 0.4 and 0.5 keep about 20 and 25 % of a video there.
            None: sqrt(retention), which gives 0.32, 0.45 and 0.5, and 1 where all is kept.
        global_ratio: share of the anchors chosen by deep attention, in [0, 1] (paper: equal quotas).
        windows: windows along each axis for the local anchors.
        clip: frames a clip, for uniform segments; None: 4 to 8, see `vidfold.segments.default_clip`.
        segments: "uniform", "dynamic" (the paper's "w Dyn"), "optimal", a segmenter, or (start, length) pairs.
        epsilon: entropic regularisation of both transports.
        iterations: of the solver at most, as in the paper; it stops when converged.
        intra_scale: mass each absorbed token brings to its anchor in phase I, the anchor's own being 1; "unit": all
            of a frame's bring 1 together, as a plan of total mass 1 has it (the authors' program).
        inter_scale: the same in phase II (paper: lambda = 1).
        distance: weight of the grid distance in the phase-I cost (paper: 0; authors' program: 0.5).
        nearest: share of plain nearest-anchor means in the phase-I result (paper: 0; authors' program: 0.1).
        merge: whether phase I works on the "language" grid, after pooling, or on the "encoder" grid, before
            (authors' program).
        repeat_key: emit the key frame's anchors untouched as well (authors' program); merged ones then come last.
        time_scale: sigma, in frames, of the factor 1 - exp(-gap^2 / 2 sigma^2) on the phase-II cost (authors'
            program: 1.5); 0: none (paper).
        carry_mass: let an anchor weigh as much as it has absorbed, in marginals and merging alike.
        saliency_mass: marginals in proportion to deep attention, in place of uniform ones.
    """

    keep: float | None = None
    global_ratio: float = 0.5
    windows: int = 3
    clip: int | None = None
    segments: Segmenter | Sequence[tuple[int, int]] | str = "uniform"
    epsilon: float = 0.1
    iterations: int = 100
    intra_scale: float | Literal["unit"] = "unit"
    inter_scale: float = 1.0
    distance: float = 0.0
    nearest: float = 0.0
    merge: Literal["language", "encoder"] = "language"
    repeat_key: bool = False
    time_scale: float = 0.0
    carry_mass: bool = False
    saliency_mass: bool = False

    name = "aot-paper"
    published = "AOT, CVPR 2026, arXiv 2603.01400"
    idea = "attention anchors absorb the rest by transport, in the frame, then along the clip; exact count"
    needs = frozenset({"shallow", "deep"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ratio("keep", self.kept_share, zero=True)
        for name in ("global_ratio", "nearest"):
            check_ratio(name, getattr(self, name), zero=True)
        for name in ("windows", "iterations"):
            check_count(name, getattr(self, name))
        for name in ("inter_scale", "distance", "time_scale"):
            check_weight(name, getattr(self, name))
        if self.intra_scale != "unit":
            check_weight("intra_scale", self.intra_scale)
        check_weight("epsilon", self.epsilon)
        if not self.epsilon:
            raise ValueError(f"epsilon must be positive, got {self.epsilon!r}")
        if self.merge not in ("language", "encoder"):
            raise ValueError(f"merge must be 'language' or 'encoder', got {self.merge!r}")
        segmenter(self.segments, self.clip)

    @property
    def kept_share(self) -> float:
        """`keep`, or what it is by default."""
        return math.sqrt(self.retention) if self.keep is None else self.keep

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; no step waits for the device unless ``weights`` are asked for."""
        total = self.count(tokens.frames, tokens.cells)
        cut = segmenter(self.segments, self.clip)(tokens)
        budget = clip_budget(
            total, tokens.frames, tokens.cells, cut.starts, cut.lengths, cut.longest, self.kept_share, self.repeat_key
        )
        clips = Clips.of(cut, budget)
        found = phase_one(self, tokens, clips, weights=weights)
        merged, kept = phase_two(self, found, clips)
        return _assemble(self.repeat_key, tokens, clips, found, merged, kept, total)


def _assemble(
    repeat_key: bool, tokens: VideoTokens, clips: Clips, found: Candidates, merged: Tensor, kept: Tensor, total: int
) -> Reduction:
    """The K tokens in reading order."""
    cut, budget = clips.cut, clips.budget
    frames, rows = found.valid.shape
    frame = torch.arange(frames, device=kept.device)
    row = torch.arange(rows, device=kept.device)
    key = (clips.position == 0)[:, None]
    key_frame = cut.starts[clips.clip_of]
    own = found.valid & key
    if repeat_key:
        # A second bank after each clip's last frame holds its merged anchors; a clip of one frame has no such copy.
        single = (cut.lengths[clips.clip_of] == 1)[:, None]
        last = (clips.position == cut.lengths[clips.clip_of] - 1)[:, None] & ~single
        first_bank = kept | (own & (single | (row < budget.repeated[clips.clip_of][:, None])))
        banks = [first_bank, found.valid[key_frame] & last]
        from_merged = torch.stack([torch.zeros_like(kept[:, 0]), last[:, 0]], dim=1)
        stands_for = torch.stack([frame, key_frame], dim=1)
    else:
        banks = [kept | own]
        from_merged = key
        stands_for = frame[:, None]
    emitted = torch.stack(banks, dim=1)
    first = emitted.flatten().to(torch.int8).argsort(descending=True, stable=True)[:total]
    slot, row = first // rows, first % rows
    frame, start = stands_for.flatten()[slot], key_frame[slot // len(banks)]

    after = merged.flatten(0, 1).index_select(0, clips.clip_of[frame] * rows + row)
    before = found.values.flatten(0, 1).index_select(0, frame * rows + row)
    folded = torch.where(from_merged.flatten()[slot][:, None], after, before)
    matrix = None
    if folded.shape[1] > found.width:
        marks = folded[:, found.width :]
        matrix = lineage.matrix(marks, start, marks.shape[1] // cut.longest, frames)
    return Reduction(
        tokens=folded[:, : found.width].to(tokens.features.dtype),
        frames=frame,
        cells=found.cells[frame, row],
        grid=tokens.language_grid,
        full=frames * tokens.cells,
        weights=matrix,
    )

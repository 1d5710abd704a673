"""AOT as the paper has it, on an exact budget: attention anchors, balanced transport, frames and clips in batches."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidfold.checks import check_choice, check_count, check_ratio, setting
from vidfold.clips import Clips
from vidfold.ops.ranks import first_true, local_and_global, reading_order
from vidfold.reducers.aot.absorb import matrix_of, pooling_matrix, spread, surviving
from vidfold.reducers.aot.clipwise import block_size
from vidfold.reducers.aot.paper_budget import ClipBudget, clip_budget
from vidfold.reducers.aot.paper_phases import Candidates, PaperPhases, strongest_cells
from vidfold.tokens import Reduction, VideoTokens

Stage = Literal["language", "encoder"]


@dataclass(frozen=True)
class AOTPaper(PaperPhases):
    """Anchors + Optimal Transport (CVPR 2026, arXiv 2603.01400) with an exact budget, for any video.

    Phase I: in each frame, local anchors (most attended of each window in a shallow layer) and global ones (most
    attended in a deep layer) absorb the other tokens by entropic optimal transport. Phase II: clip by clip, the
    first frame's anchors absorb what the later frames' anchors repeat; of each later frame the share ``keep`` that
    transport finds hardest to place is kept as temporal dynamics. Output in order of time, then raster.

    ``AOT.reference(...)`` is the authors' own implementation instead, number for number.

    Attributes:
        keep: share of a later frame's anchors that is kept, in [0, 1]. The paper tunes a threshold instead; the scripts
            of its program take 0.3 at 10 % of the tokens, and 0.4 and 0.5 keep about 20 and 25 % of a video there.
            None: sqrt(retention), which gives 0.32, 0.45 and 0.5, and 1 where all is kept.
        global_ratio: share of the anchors chosen by deep attention, in [0, 1] (paper: equal quotas).
        windows: windows along each axis for the local anchors.
        clip: frames a clip; None: 4 to 8, see `vidfold.segments.default_clip`.
        segments: "dynamic" is the paper's "w Dyn".
        epsilon: entropic regularisation of both transports.
        iterations: of the solver at most, as in the paper; it stops when converged.
        intra_scale: mass each absorbed token brings to its anchor in phase I, the anchor's own being 1; "unit": all
            of a frame's bring 1 together, as a plan of total mass 1 has it (the authors' program).
        inter_scale: the same in phase II (paper: lambda = 1).
        distance: weight of the grid distance in the phase-I cost (paper: 0; authors' program: 0.5).
        nearest: share of plain nearest-anchor means in the phase-I result (paper: 0; authors' program: 0.1).
        merge: whether phase I works on the "language" grid, after pooling, or on the "encoder" grid, before
            (authors' program).
        repeat_key: emit the key frame's anchors unchanged as well (authors' program); merged ones then come last.
        time_scale: sigma, in frames, of the factor 1 - exp(-gap^2 / 2 sigma^2) on the phase-II cost (authors'
            program: 1.5); 0 disables it (paper).
        carry_mass: let an anchor weigh as much as it has absorbed, in marginals and merging alike.
        saliency_mass: marginals in proportion to deep attention, in place of uniform ones.
    """

    keep: float | None = setting(None, check_ratio, optional=True, zero=True)
    global_ratio: float = setting(0.5, check_ratio, zero=True)
    windows: int = setting(3, check_count)
    merge: Stage = setting("language", check_choice, of=Stage)
    repeat_key: bool = False

    name = "aot-paper"
    published = "AOT, CVPR 2026, arXiv 2603.01400"
    idea = "attention anchors absorb the rest by transport, in the frame, then along the clip; exact count"
    needs = frozenset({"shallow", "deep"})

    @property
    def kept_share(self) -> float:
        """`keep`, or what it is by default."""
        return math.sqrt(self.retention) if self.keep is None else self.keep

    def fold(self, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Reduction:
        """Fold one or more videos, given as one, to ``total`` tokens."""
        budget = clip_budget(total, tokens.cells, clips, self.kept_share, self.repeat_key)
        found = self._candidates(tokens, clips, budget, weights)
        merged, kept = self.absorb_clips(found, clips, budget)
        return self._emitted(tokens, clips, budget, found, merged, kept, total)

    def _candidates(self, tokens: VideoTokens, clips: Clips, budget: ClipBudget, weights: bool) -> Candidates:
        """Phase I, some frames at a time."""
        per_frame = budget.anchors[clips.clip_of]
        width = tokens.features.shape[2]
        block = block_size(tokens.features, tokens.cells * width)
        found = [
            self._merged(tokens, slice(first, first + block), per_frame[first : first + block], budget.most)
            for first in range(0, tokens.frames, block)
        ]
        mix, merged, valid, cells, mass, saliency = (torch.cat(parts) for parts in zip(*found, strict=True))
        if weights:
            merged = torch.cat([merged, spread(mix, clips.position, clips.longest)], dim=2)
        return Candidates(merged, width, valid, cells, mass, saliency)

    def _merged(
        self, tokens: VideoTokens, frames: slice, per_frame: Tensor, most: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Anchors of some frames: what they are made of, merged; and valid, cells, mass, saliency of `Candidates`."""
        features, grid, chosen, bound = tokens.features[frames], tokens.grid, per_frame, most
        shallow, deep = (getattr(tokens, name)[frames].float() for name in ("shallow", "deep"))
        pooled_deep = tokens.pool(deep)
        before_pooling = self.merge == "encoder"
        if before_pooling:
            patches = features.shape[1]
            chosen = torch.where(per_frame > 0, (per_frame * patches) // tokens.cells, 0)
            bound = min(patches, most * patches // tokens.cells)
        else:
            features, shallow = tokens.pool(features), tokens.pool(shallow)
            deep, grid = pooled_deep, tokens.language_grid

        features = features.float()
        local = ((1 - self.global_ratio) * chosen).floor().long()
        mask = local_and_global(shallow, deep, grid, local, chosen, self.windows)
        anchors = first_true(mask, bound)
        valid = mask.gather(1, anchors)
        mix, mass = self.mix_frames(features, mask, anchors, valid, grid, deep)
        mass = mass if self.carry_mass else torch.ones_like(mass)
        if before_pooling:
            full_mass = torch.ones_like(deep).scatter(1, anchors, mass.masked_fill(~valid, 1.0))
            survivors = strongest_cells(tokens.pool(mask.float()), pooled_deep, per_frame)
            anchors, merged = first_true(survivors, most), anchors
            valid, mass = survivors.gather(1, anchors), tokens.pool(full_mass).gather(1, anchors)
            mix = surviving(pooling_matrix(tokens), anchors, merged, mix)
        return mix, mix @ features, valid, anchors, mass, pooled_deep.gather(1, anchors)

    def _emitted(
        self,
        tokens: VideoTokens,
        clips: Clips,
        budget: ClipBudget,
        found: Candidates,
        merged: Tensor,
        kept: Tensor,
        total: int,
    ) -> Reduction:
        """The K tokens in reading order."""
        frames, rows = found.valid.shape
        frame, row = torch.arange(frames, device=kept.device), torch.arange(rows, device=kept.device)
        key = (clips.position == 0)[:, None]
        own = found.valid & key
        # Each frame has a bank of rows to emit: those of the key frame merged, those of later frames unchanged.
        banks, from_merged, stands_for = [kept | own], key, frame[:, None]
        if self.repeat_key:
            # A second bank after the last frame of each clip holds its merged anchors. A clip of one frame has none.
            single = (clips.length == 1)[:, None]
            last = (clips.position == clips.length - 1)[:, None] & ~single
            first = own & (single | (row < budget.repeated[clips.clip_of][:, None]))
            banks = [kept | first, found.valid[clips.first] & last]
            from_merged = torch.cat([torch.zeros_like(last), last], dim=1)
            stands_for = torch.stack([frame, clips.first], dim=1)
        chosen = reading_order(torch.stack(banks, dim=1), total)
        slot, row = chosen // rows, chosen % rows
        frame, start = stands_for.flatten()[slot], clips.first[slot // len(banks)]

        after = merged.flatten(0, 1).index_select(0, clips.clip_of[frame] * rows + row)
        before = found.values.flatten(0, 1).index_select(0, frame * rows + row)
        folded = torch.where(from_merged.flatten()[slot][:, None], after, before)
        matrix = None
        if folded.shape[1] > found.width:
            marks = folded[:, found.width :]
            matrix = matrix_of(marks, start, marks.shape[1] // clips.longest, frames)
        return Reduction.of(tokens, folded[:, : found.width], frame, found.cells[frame, row], matrix)

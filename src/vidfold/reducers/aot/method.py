"""AOT made well: anchors that move to where they serve most, near in time and place; exact budget, linear time."""

import functools
import logging
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_weight, setting
from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops import kernels
from vidfold.ops.locality import located
from vidfold.ops.quantise import quantise
from vidfold.ops.ranks import by_first_member
from vidfold.ops.sketch import sketch
from vidfold.reducers.aot.clipwise import ClipwiseReducer, block_size
from vidfold.reducers.aot.paper import AOTPaper
from vidfold.reducers.aot.reference import AOTReference
from vidfold.segments import Uniform
from vidfold.tokens import Reduction, VideoTokens

_LOG = logging.getLogger(__name__)

FRAMES, ANCHORS = 16, 896
"""Frames a clip, where it may be chosen; fewer where a clip would keep more tokens than that."""
COARSE = 128
"""Channels in which tokens are compared until the last assignment, see `vidfold.ops.quantise`."""
CLOSE = 1e-4
"""Tokens that are as near to their anchor but for this count as equally near: the two tokens of a pair always are."""


@dataclass(frozen=True)
class AOT(ClipwiseReducer):
    """Anchors + Optimal Transport (after CVPR 2026, arXiv 2603.01400) in the form that keeps most.

    As in the paper, anchors receive the other tokens by transport, clip by clip. Three things differ, and transport
    within the frame and along the clip is one (`benchmarks/aot.md`).

    Anchors begin evenly spread over the cells and frames of a clip, not at the most attended cells. So no attention
    has to be observed. Transport is one-sided: each token goes wholly to the anchor of the clip that is nearest, and
    no anchor must take an even load. As in the authors' program, what is far away in time and place costs more than
    what is near (`vidfold.ops.locality`), the more so the fewer tokens are kept: then what is seen twice, far apart,
    is kept twice. And transport is repeated: each anchor moves to the barycentre of what it received, and anchors that
    are hardly needed, as those of frames that repeat others, move to the tokens served worst
    (`vidfold.ops.quantise`). This is a free-support Wasserstein barycentre of the clip, on as many points as the
    budget allows.

    Every anchor becomes the mean of its tokens, at the place of the token nearest to it (of several the first). Output
    in order of time, then raster. Time and memory are linear in the number of frames. No step is serial in tokens, and
    none waits for the device. On a GPU with Triton the steps are fused kernels (`vidfold.ops.kernels`), some fifty
    launches in all, which are tried once on each device; elsewhere they are operations of torch.

    `AOT.paper(...)` is the paper's method on an exact budget, `AOT.reference(...)` the authors' program, number for
    number. A variant for an ablation is a subclass that overrides one step: `cut` or `assign`.

    Attributes:
        clip: frames a clip; None: 16, or fewer where a clip would keep more than 896 tokens.
        segments: see `ClipwiseReducer`. Where clips have very unequal lengths, as those found in the content do, the
            device is asked once how many there are.
        rounds: how often anchors move.
        sketch: channels in which tokens are compared, see `vidfold.ops.sketch`, 128 until the last round; None: all
            in the last round.
        locality: weight of the distance in time and place beside that of the tokens, where almost all tokens go to
            others; it falls with the share that is kept. 0: tokens are compared by their features alone.
    """

    rounds: int = setting(6, check_count)
    sketch: int | None = setting(256, check_count, optional=True)
    locality: float = setting(6.0, check_weight)

    name = "aot"
    published = "vidfold, after AOT, CVPR 2026, arXiv 2603.01400"
    idea = "anchors of a clip receive the nearest tokens and move to where they serve most; exact count"

    paper = AOTPaper
    """The paper's method on an exact budget: attention anchors, balanced transport."""
    reference = AOTReference
    """The authors' program, number for number."""

    def cut(self, tokens: VideoTokens) -> Clips:
        """The clips of a video; where they may be chosen, of equal length."""
        if self.clip is not None or self.segments != "uniform":
            return super().cut(tokens)
        frames, kept = tokens.frames, self.count(tokens.frames, tokens.cells)
        clips = min(kept, max(math.ceil(frames / FRAMES), math.ceil(kept / ANCHORS)))
        return Uniform(math.ceil(frames / clips))(tokens)

    def assign(self, units: Tensor, present: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The anchor of each token of some clips, and how near it is; see `vidfold.ops.quantise.quantise`.

        Args:
            units: (C, L * N, E) float32.
            present: (C, L * N) bool.
            counts: (C,) int64.
            most: an upper bound of the counts.
        """
        return quantise(units, present, counts, most, self.rounds, coarse=COARSE)

    def fold(self, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Reduction:
        """Fold one or more videos, given as one, to ``total`` tokens."""
        clips = clips.compact()
        # The kernels know no other steps than those of this class.
        if type(self).assign is AOT.assign and kernels.run_for(tokens.features) and _proven(tokens.features.device):
            return self._in_kernels(tokens, clips, total, weights=weights)
        cells, weight = tokens.cells, self._weight(tokens, total)
        features = tokens.pooled().float()
        units = functional.normalize(features if self.sketch is None else sketch(features, self.sketch), dim=2)
        if weight:
            units = located(units, clips, tokens.language_grid, weight)
        counts, present = clips.shares(total), clips.rows_there(cells)
        most = min(present.shape[1], total * clips.longest // clips.frames + 1)
        block = block_size(units, most * present.shape[1])
        found = []
        for at in range(0, len(counts), block):
            part = slice(at, at + block)
            found.append(self.assign(clips.rows(units, part), present[part], counts[part].clamp_min(1), most))
        labels, near = (torch.cat(parts) for parts in zip(*found, strict=True))
        # The label K: a clip that keeps nothing.
        labels = (labels + (counts.cumsum(0) - counts)[:, None]).masked_fill((counts == 0)[:, None], total)
        labels, near = clips.frame_rows(labels).flatten(), clips.frame_rows(near).flatten()
        nearest = near.new_full((total + 1,), -torch.inf).scatter_reduce_(0, labels, near, "amax")
        labels, places = by_first_member(labels, total, near >= nearest[labels] - CLOSE)
        return Mix.means(labels, total).reduction(tokens, features, places, weights=weights)

    def _in_kernels(self, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Reduction:
        from vidfold.reducers.aot import fused

        settings = self.rounds, self.sketch, self._weight(tokens, total), COARSE, CLOSE
        return fused.fold(tokens, clips, total, *settings, weights=weights)

    def _weight(self, tokens: VideoTokens, total: int) -> float:
        """Weight of the distance in time and place where so many tokens are kept."""
        return self.locality * (1 - total / (tokens.frames * tokens.cells))


def _proven(device: torch.device) -> bool:
    """Whether the kernels work on a device; a compiler, which cannot try, takes it for granted."""
    return torch.compiler.is_compiling() or _tried(device)


@functools.cache
def _tried(device: torch.device) -> bool:
    """Whether the kernels choose on a device the tokens that torch chooses on the CPU: tried once, on a small video."""
    features = torch.randn(4, 36, 48, generator=torch.Generator().manual_seed(0))
    method = AOT(0.2, clip=2)
    here, there = (VideoTokens(each, (6, 6)) for each in (features, features.to(device)))
    expected = method(here)
    try:
        found = method._in_kernels(there, method.cut(there), len(expected), weights=False)
        same = all(torch.equal(getattr(found, name).cpu(), getattr(expected, name)) for name in ("frames", "cells"))
        reason = None if same else "they choose other tokens than torch does"
    except Exception as error:  # of a compiler or a driver
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        _LOG.warning(
            "the Triton kernels of AOT do not work on %s (%s): torch is used, which takes longer", device, reason
        )
    return reason is None

"""AOT made well: anchors that cover the video, partial transport in closed form, an exact budget."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.checks import check_count, check_positive, check_weight, setting
from vidfold.clips import Clips, Segmenter
from vidfold.linear import sum_rows
from vidfold.ops import cover
from vidfold.ops.ranks import gather_rows
from vidfold.ops.shares import kept_tokens
from vidfold.reducers.aot import phases
from vidfold.reducers.aot.absorb import absorbing
from vidfold.reducers.aot.clipwise import ClipwiseReducer, block_size
from vidfold.reducers.aot.paper import AOTPaper
from vidfold.reducers.aot.phases import Candidates, Support
from vidfold.reducers.aot.reference import AOTReference
from vidfold.reducers.base import given
from vidfold.segments import Uniform
from vidfold.tokens import Reduction, VideoTokens
from vidfold.transport import partial

POWER = 2.0
"""Exponent of the cost where the support is chosen; 1 and 3 keep fewer answers (`benchmarks/aot.md`)."""
PRICE = 2.0
"""Of a unit of mass that is not moved, in units of the mean cost: more than any pair under the caps costs."""


@dataclass(frozen=True)
class AOT(ClipwiseReducer):
    """Anchors + Optimal Transport (after CVPR 2026, arXiv 2603.01400) in the form that keeps most answers.

    Two phases as in the paper, with two changes that measurements ask for (`benchmarks/aot.md`). Anchors are chosen to
    cover the video rather than by attention, so no attention has to be observed. And transport is partial: a token
    moves only onto anchors that are near, in a soft closed-form plan; what is like no anchor is dropped.

    Phase I: in each frame, candidates cover the frame (farthest point) and absorb what is near them. Phase II: in each
    clip, a support of K_c candidates covers all its candidates (greedy facility location) and absorbs what is near.
    Output in order of time, then raster. Costs are cosine costs in units of their mean in the frame, then in the clip
    (1 - |mean unit token|^2), so no setting depends on how spread the features of a model are.

    Time and memory are linear in the number of frames, and quadratic in the length of a clip. Steps are serial in the
    tokens of a clip only; all clips run side by side.

    `AOT.paper(...)` is the paper's method on an exact budget, `AOT.reference(...)` the authors' program, number for
    number. A variant for an ablation is a subclass that overrides one step: `cut`, `choose`, `send` or `cover`.

    Attributes:
        candidates: candidates a frame, as a multiple of K / F, at least 1; None: all tokens.
        clip: frames a clip; None: about 1 / retention, so that a clip keeps one frame's worth of tokens, and all clips
            nearly alike.
        segments: see `ClipwiseReducer`. Where clips have very unequal lengths, as those found in the content do, the
            device is asked once how many there are.
        epsilon: entropic regularisation of both phases, in units of the mean cost, as are the caps.
        intra_cap: largest cost at which phase I moves anything.
        inter_cap: the same in phase II.
        attention_power: exponent of received attention as a weight in both choices; 0 disables it.
        sketch: channels in which tokens are compared, see `vidfold.ops.sketch`; None: all.
    """

    candidates: float | None = setting(4.0, check_weight, optional=True)
    epsilon: float = setting(1 / 6, check_positive)
    intra_cap: float = setting(1 / 3, check_weight)
    inter_cap: float = setting(1.0, check_weight)
    attention_power: float = setting(0.0, check_weight)
    sketch: int | None = setting(512, check_count, optional=True)

    name = "aot"
    published = "vidfold, after AOT, CVPR 2026, arXiv 2603.01400"
    idea = "anchors that cover each clip absorb what is near them by partial transport; exact count"

    paper = AOTPaper
    """The paper's method on an exact budget: attention anchors, balanced transport."""
    reference = AOTReference
    """The authors' program, number for number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates is not None and self.candidates < 1:
            raise ValueError(f"candidates must be None or at least 1, got {self.candidates!r}")

    @property
    def needs(self) -> frozenset[str]:
        """Attention, where it is a weight."""
        return frozenset({"shallow", "deep"}) if self.attention_power else frozenset()

    def cut(self, frames: int) -> Segmenter:
        """What cuts a video of F frames into clips."""
        if self.clip is None and self.segments == "uniform":
            return Uniform(math.ceil(frames / kept_tokens(self.retention, frames, 1)))
        return super().cut(frames)

    def choose(self, tokens: VideoTokens, frames: slice, cost: Tensor, weight: Tensor, count: int) -> Tensor:
        """Candidates of some frames of a video.

        Args:
            tokens: the video.
            frames: which frames, f of them.
            cost: (f, N, N) float32, costs of their tokens.
            weight: (f, N) float32.
            count: m, candidates a frame.

        Returns:
            (f, m) int64, cells of the language grid, ascending.
        """
        order, _ = cover.farthest(cost, weight, torch.ones_like(weight, dtype=torch.bool), count)
        return order.sort(1).values

    def cover(self, cost: Tensor, weight: Tensor, present: Tensor, count: int) -> Tensor:
        """The rows (C, count) int64, best first, that cover the rows of each clip.

        Args:
            cost: (C, n, n) float32, costs of its rows.
            weight: (C, n) float32, what each row counts.
            present: (C, n) bool, which are not padding.
            count: how many to choose.
        """
        return cover.facility(cost**POWER, weight, present, count)[0]

    def send(self, cost: Tensor, mass: Tensor, receivers: Tensor, cap: float) -> Tensor:
        """Mass (B, M, N) that each token sends to each receiver; the arguments are those of `partial`."""
        return partial(cost, mass, receivers, epsilon=self.epsilon, price=PRICE, cap=cap).plan

    def fold(self, tokens: VideoTokens, clips: Clips, total: int, *, weights: bool) -> Reduction:
        """Fold one or more videos, given as one, to ``total`` tokens."""
        clips = clips.compact()
        found = self._candidates(tokens, total, weights)
        support = self._support(found, clips, total)
        mass = clips.rows(found.mass)
        present = phases.rows_there(clips, found.cells.shape[1])
        # Where a clip has fewer rows than are chosen, the order names some of them again: these do not count.
        kept = torch.zeros_like(mass).scatter_add_(1, support.order, support.take.to(mass.dtype))
        sent = self.send(support.columns, mass * (present & (kept == 0)), support.take, self.inter_cap)
        mix, _ = absorbing(sent, support.order, mass.gather(1, support.order))
        return phases.emitted(tokens, found, clips, support, mix, total)

    def _candidates(self, tokens: VideoTokens, total: int, weights: bool) -> Candidates:
        """Phase I, some frames at a time."""
        frames, cells = tokens.frames, tokens.cells
        count = cells if self.candidates is None else min(cells, math.ceil(self.candidates * (total / frames)))
        block = block_size(tokens.features, cells * max(cells, tokens.features.shape[2]))
        found = [self._frames(tokens, slice(at, at + block), count, weights) for at in range(0, frames, block)]
        return Candidates(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _frames(self, tokens: VideoTokens, frames: slice, count: int, weights: bool) -> tuple[Tensor, ...]:
        """The fields of `Candidates` for some frames."""
        features = tokens.pool(tokens.features[frames]).float()
        units = phases.unit_tokens(features, self.sketch)
        means, weight = units.mean(1), torch.ones_like(features[:, :, 0])
        if self.attention_power:
            shallow, deep = given(tokens, "shallow", frames), given(tokens, "deep", frames)
            weight = phases.saliency(shallow, deep, tokens.language_grid) ** self.attention_power
        cells = features.shape[1]
        if count == cells:
            chosen = torch.arange(cells, device=units.device).expand(len(units), -1)
            mix = torch.eye(cells, dtype=units.dtype, device=units.device).expand(len(units), -1, -1)
            return features, units, chosen, torch.ones_like(weight), weight, means, mix if weights else mix[:, :0]
        cost = phases.distances(units) / phases.mean_cost(means)[:, None, None]
        chosen = self.choose(tokens, frames, cost, weight, count)
        senders = torch.ones_like(weight).scatter_(1, chosen, 0)
        everyone = torch.ones_like(chosen, dtype=torch.bool)
        mix, mass = absorbing(self.send(phases.columns_of(cost, chosen), senders, everyone, self.intra_cap), chosen)
        shown = mix if weights else mix[:, :0]
        return mix @ features, gather_rows(units, chosen), chosen, mass, weight.gather(1, chosen), means, shown

    def _support(self, found: Candidates, clips: Clips, total: int) -> Support:
        """The choice of phase II, some clips at a time."""
        sums = sum_rows(found.means, clips.clip_of, len(clips.starts))
        scale = phases.mean_cost(sums / clips.lengths.clamp_min(1)[:, None])
        present = phases.rows_there(clips, found.cells.shape[1])
        slots = present.shape[1]
        most = min(slots, total * clips.longest // clips.frames + 1)
        block = block_size(found.units, slots * slots)
        choices = []
        for at in range(0, len(present), block):
            part = slice(at, at + block)
            cost = phases.distances(clips.rows(found.units, part)) / scale[part, None, None]
            weight = clips.rows(found.mass * found.weight, part)
            order = self.cover(cost, weight, present[part], most)
            choices.append((order, phases.columns_of(cost, order)))
        order, columns = (torch.cat(parts) for parts in zip(*choices, strict=True))
        take = torch.arange(most, device=order.device) < clips.shares(total)[:, None]
        return Support(order, columns, take)

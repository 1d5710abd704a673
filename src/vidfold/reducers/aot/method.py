"""AOT made well: anchors that cover the video, partial transport in closed form, an exact budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vidfold.checks import check_count, check_weight
from vidfold.reducers.aot.clips import Clips
from vidfold.reducers.aot.paper import AOTPaper
from vidfold.reducers.aot.phases import phase_one, phase_two
from vidfold.reducers.aot.reference import AOTReference
from vidfold.reducers.base import BudgetedReducer
from vidfold.segments import Segmenter, segmenter
from vidfold.tokens import Reduction, VideoTokens
from vidfold.transport.partial import KINDS, Kind, Rules

_WORDS = {
    "anchors": ("coverage", "attention"),
    "support": ("farthest", "facility", "attention"),
    "scale": ("relative", "absolute"),
    "share": ("equal", "novelty"),
    "emission": ("single", "double"),
    "order": ("time", "choice"),
}


@dataclass(frozen=True)
class AOT(BudgetedReducer):
    """Anchors + Optimal Transport (after CVPR 2026, arXiv 2603.01400) in the form that keeps most answers.

    Two phases as in the paper, with two changes that measurements ask for (`benchmarks/aot.md`): anchors are chosen to
    cover the video rather than by attention, which nobody needs to observe then, and transport is partial: a token
    moves only onto anchors that are near, in a soft closed-form plan, and what is like nothing else is dropped rather
    than smeared. Phase I: in each frame, candidates cover the frame and absorb what is near them. Phase II: in each
    clip, a support of K_c candidates covers all its candidates and absorbs the others. Output in order of time, then
    raster. Costs are cosine costs in units of their mean in the frame, then in the clip (1 - |mean unit token|^2), so
    that no setting depends on how spread a model's features are.

    Time and memory are linear in the number of frames, and quadratic in the length of a clip; steps are serial in the
    tokens of a clip only, all clips side by side.

    `AOT.paper(...)` is the paper's method on an exact budget, `AOT.reference(...)` the authors' program, number for
    number.

    Attributes:
        retention: share of the tokens to keep, in (0, 1]; met exactly.
        anchors: candidates of a frame by "coverage" (farthest point) or by "attention" (local and global, as in the
            paper).
        attention_power: exponent of received attention as a weight in both choices; 0: it has no say.
        candidates: candidates a frame, as a multiple of K / F, at least 1; None: all tokens.
        support: what a clip keeps: the "farthest" candidates one by one; the "facility" locations, which lower the
            transport cost of the whole clip most; or those of most "attention".
        power: exponent of the cost in a facility location.
        intra: plan of phase I: "semi-relaxed" (closed form), "balanced" (Sinkhorn, as in the paper), "unbalanced"
            (capacities at a price), "nearest", or "none"; see `vidfold.transport.partial.shares`.
        inter: plan of phase II, likewise.
        epsilon: entropic regularisation of both, in units of the mean cost, as the next four are.
        intra_cap: largest cost at which phase I moves anything.
        inter_cap: the same in phase II.
        price: of a unit of mass that is not moved.
        capacity: weight of the anchors' capacities in an unbalanced plan.
        scale: "relative": costs in units of their mean; "absolute": plain cosine costs.
        intra_scale: mass of an absorbed token in phase I, an anchor's own being 1.
        inter_scale: the same in phase II.
        carry_mass: whether a candidate weighs as much as it absorbed, when it is chosen, absorbed and absorbs.
        clip: frames a clip, for uniform segments; the last clip takes what is left. None: about 1 / retention, so that
            a clip keeps one frame's worth of tokens, and all clips nearly alike.
        segments: "uniform", "dynamic", "optimal", a segmenter, or (start, length) pairs. Of clips of very
            unequal lengths, as those found in the content are, the device is asked once how many there are.
        share: tokens of each clip: "equal", in proportion to its frames, or "novelty", where candidates are farthest
            from those chosen already, over all clips.
        time_cost: added to the cost of two tokens a clip apart, in proportion, where the support is chosen.
        emission: "double": half as many anchors, each also emitted as it was before phase II (authors' program).
        order: tokens in order of "time", or clip by clip in order of "choice".
        sketch: channels in which tokens are compared, see `vidfold.ops.sketch`; None: all.
    """

    anchors: Literal["coverage", "attention"] = "coverage"
    attention_power: float = 0.0
    candidates: float | None = 4.0
    support: Literal["farthest", "facility", "attention"] = "facility"
    power: float = 2.0
    intra: Kind = "semi-relaxed"
    inter: Kind = "semi-relaxed"
    epsilon: float = 1 / 6
    intra_cap: float = 1 / 3
    inter_cap: float = 1.0
    price: float = 2.0
    capacity: float = 0.1
    scale: Literal["relative", "absolute"] = "relative"
    intra_scale: float = 1.0
    inter_scale: float = 1.0
    carry_mass: bool = True
    clip: int | None = None
    segments: Segmenter | Sequence[tuple[int, int]] | str = "uniform"
    share: Literal["equal", "novelty"] = "equal"
    time_cost: float = 0.0
    emission: Literal["single", "double"] = "single"
    order: Literal["time", "choice"] = "time"
    sketch: int | None = 512

    name = "aot"
    published = "vidfold, after AOT, CVPR 2026, arXiv 2603.01400"
    idea = "anchors that cover each clip absorb what is near them by partial transport; exact count"

    paper = AOTPaper
    """The paper's method on an exact budget: attention anchors, balanced transport."""
    reference = AOTReference
    """The authors' program, number for number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                choice = ", ".join(map(repr, words[:-1])) + f" or {words[-1]!r}"
                raise ValueError(f"{name} must be {choice}, got {getattr(self, name)!r}")
        for name in ("intra", "inter"):
            if getattr(self, name) not in KINDS:
                raise ValueError(f"{name} must be one of {', '.join(KINDS)}, got {getattr(self, name)!r}")
        for name in ("attention_power", "intra_cap", "inter_cap", "price", "capacity", "intra_scale", "inter_scale"):
            check_weight(name, getattr(self, name))
        check_weight("time_cost", self.time_cost)
        for name in ("epsilon", "power"):
            if not check_weight(name, getattr(self, name)):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        if self.candidates is not None and check_weight("candidates", self.candidates) < 1:
            raise ValueError(f"candidates must be None or at least 1, got {self.candidates!r}")
        if self.sketch is not None:
            check_count("sketch", self.sketch)
        self._cut(frames=1)

    @property
    def needs(self) -> frozenset[str]:
        """Attention, where a choice goes by it."""
        looks = self.anchors == "attention" or self.support == "attention" or self.attention_power > 0
        return frozenset({"shallow", "deep"}) if looks else frozenset()

    @property
    def rules(self) -> Rules:
        """What both plans go by."""
        return Rules(self.epsilon, self.price, self.capacity)

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Fold in float32; where clips are uniform, no step waits for the device unless weights are asked for."""
        total = self.count(tokens.frames, tokens.cells)
        clips = Clips.of(self._cut(tokens.frames)(tokens), tokens.frames, total, 2 if self.emission == "double" else 1)
        found = phase_one(self, tokens, clips, total, weights=weights)
        return phase_two(self, tokens, found, clips, total)

    def _cut(self, frames: int) -> Segmenter:
        clip = self.clip
        if clip is None and self.segments == "uniform":
            clip = math.ceil(frames / max(1, math.floor(self.retention * frames + 0.5)))
        return segmenter(self.segments, clip)

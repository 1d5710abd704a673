"""Still: what stands still is not computed again."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.checks import check_count, check_ratio, check_weight, setting
from vidfold.tower.plan import Plan, TowerMethod, expanded, repeated

HALVINGS = 12
"""How often the interval of thresholds is halved to meet a share."""
NEARLY_ALL = 0.95
"""Share of computed units above which the tower is run whole: packing would cost what it saves."""


@dataclass(frozen=True)
class Still(TowerMethod):
    """Computes the first frame whole, and of later ones what changed since it was last computed.

    Of every unit the tower remembers the pixels that it last computed. A unit is computed again once its pixels differ
    from those by more than a threshold, so slow changes add up and are not missed. The change of a unit is the root
    mean square of the differences of its values: more than their mean it notices small things that move. A frame that
    changes nearly everywhere, as after a cut, is computed whole. Frames that equal an earlier one cost nothing.

    What is not computed is a copy: the language model gets the features of the unit that stands for it, and in every
    layer other tokens of the frame see the keys and values of that one. So computed tokens still see their whole frame.
    Copies do not see what changed around them; a lower threshold or checked frames bound what that costs
    (`benchmarks/tower.md`).

    Attributes:
        threshold: of the change, in brightness: white is 1 above black. 0 skips whole frames that repeat and nothing
            else, which changes no feature.
        share: of the F * N units of a video to compute, met exactly: K = floor(share * F * N + 0.5), but at least one
            frame and at most all distinct ones. The threshold is then chosen to meet it. None: the threshold decides.
        cut: a frame of whose units more than this share changed is computed whole.
        check: one frame in so many is computed whole, too, to measure how far features drift. None: none.
        drift: 1 - mean cosine between the features of checked frames and the whole tower's; where it is more, the
            whole tower is run after all.
    """

    threshold: float = setting(0.05, check_weight)
    share: float | None = setting(None, check_ratio, optional=True)
    cut: float = setting(0.8, check_ratio)
    check: int | None = setting(None, check_count, optional=True)
    drift: float = setting(0.2, check_weight)

    name = "still"
    idea = "computes the first frame, and of later ones what changed since it was last computed"

    @property
    def bound(self) -> float | None:
        """The bound on drift, where frames are checked."""
        return self.drift if self.check is not None else None

    def count(self, frames: int, units: int) -> int:
        """Units that are computed of F distinct frames of N units where a share is set.

        Raises:
            ValueError: no share is set.
        """
        if self.share is None:
            raise ValueError("the count depends on the video's content: it is known beforehand with share=...")
        return max(units, math.floor(self.share * frames * units + 0.5))

    @torch.no_grad()
    def plan(self, pixels: Tensor) -> Plan:
        """Frame after frame; the host waits once for the pixels' device, or as often as it tries thresholds."""
        first = repeated(pixels)
        own = (first == torch.arange(len(first))).nonzero()[:, 0]
        distinct = pixels[own.to(pixels.device)].float()
        if self.share is not None:
            computed = self._sharing(distinct, min(self.count(*pixels.shape[:2]), distinct.shape[:2].numel()))
        elif self.threshold == 0:
            computed = torch.ones(distinct.shape[:2], dtype=torch.bool)
        else:
            computed = self._changing(distinct, self.threshold).cpu()
        plan = expanded(Plan.of(computed), first)
        if self.share is None and plan.share > NEARLY_ALL:
            return expanded(Plan.of(torch.ones_like(computed)), first)
        if self.check is None:
            return plan
        looked = torch.arange(self.check // 2, len(pixels), self.check)
        return Plan(plan.source, looked[~plan.computed[looked].all(1)])

    def _changing(self, pixels: Tensor, threshold: float) -> Tensor:
        """Which units of distinct frames change by more than a threshold, (F, N) bool."""
        known = pixels[0]
        rows = [torch.ones(pixels.shape[1], dtype=torch.bool, device=pixels.device)]
        for frame in pixels[1:]:
            changed = change(frame, known) > threshold
            changed = changed | (changed.float().mean() > self.cut)
            known = torch.where(changed[:, None], frame, known)
            rows.append(changed)
        return torch.stack(rows)

    def _sharing(self, pixels: Tensor, total: int) -> Tensor:
        """Which ``total`` units of distinct frames are computed, (F, N) bool on the host.

        Those of the least threshold that needs no more, and those that then differ most from what stands for them.
        """
        low, high = 0.0, float(pixels.amax() - pixels.amin())
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._changing(pixels, middle).sum() > total else (low, middle)
        computed = self._changing(pixels, high).cpu()
        source = Plan.of(computed).source.to(pixels.device)
        rest = change(pixels, pixels.gather(0, source[:, :, None].expand_as(pixels))).cpu()
        more = rest.masked_fill(computed, -1).flatten().topk(max(0, total - int(computed.sum()))).indices
        return computed.flatten().index_fill(0, more, True).view_as(computed)


def change(pixels: Tensor, other: Tensor) -> Tensor:
    """Root mean square of the differences of units (..., P): (...)."""
    return (pixels - other).square_().mean(-1).sqrt_()

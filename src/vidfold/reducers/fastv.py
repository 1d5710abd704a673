"""FastV: after an early layer, keep the tokens that the prompt's last token attends to most."""

from __future__ import annotations

from dataclasses import dataclass

from vidfold.checks import check_count, check_ratio, setting
from vidfold.drops import Drop
from vidfold.reducers.inner import InnerReducer


@dataclass(frozen=True)
class FastV(InnerReducer):
    """FastV (Chen et al. 2024): ``layer`` is the paper's K, ``1 - retention`` its R; defaults are its K=2 and R=50 %.

    Kept tokens keep their position ids.

    Attributes:
        retention: share of every video's tokens that the layers after the first ``layer`` ones read, in (0, 1].
        layer: number of layers that read all tokens; attention of the last of them ranks the tokens.
    """

    retention: float = setting(0.5, check_ratio)
    layer: int = setting(2, check_count)

    name = "fastv"
    published = "FastV, ECCV 2024, arXiv 2403.06764"
    idea = "after an early decoder layer, keeps the tokens the prompt's last token attends to most"

    def drops(self, depth: int) -> tuple[Drop, ...]:
        """One drop, ranked by the layer before it."""
        return (Drop(self.layer, self.retention, scorer=self.layer - 1),)

"""PyramidDrop: fewer tokens in every stage of layers, ranked again where each stage begins."""

from __future__ import annotations

from dataclasses import dataclass

from vidfold.checks import check_count, check_ratio, setting
from vidfold.drops import Drop
from vidfold.reducers.inner import InnerReducer

STAGES = 4


@dataclass(frozen=True)
class PyramidDrop(InnerReducer):
    """PyramidDrop (Xing et al. 2025): ``ratio`` is the paper's lambda.

    The n-th layer of ``layers`` and all after it read ratio**n of the tokens, ranked by the attention of that layer
    before it runs. Kept tokens keep their position ids; the authors' code renumbers the tokens after every drop.

    Attributes:
        ratio: share of the tokens of the stage before that each stage keeps, in (0, 1].
        layers: first layers of the stages after the first, counted from 0; None: four equal stages, as in the
            paper: 8, 16 and 24 of 32.
    """

    ratio: float = setting(0.5, check_ratio)
    layers: tuple[int, ...] | None = None

    name = "pyramiddrop"
    published = "PyramidDrop, CVPR 2025, arXiv 2410.17247"
    idea = "halves the tokens at every quarter of the decoder, by attention of the prompt's last token"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None:
            if not isinstance(self.layers, list | tuple) or not self.layers:
                raise ValueError(f"layers must be None or layer numbers such as (8, 16, 24), got {self.layers!r}")
            object.__setattr__(self, "layers", tuple(check_count("layers", layer) for layer in self.layers))

    def drops(self, depth: int) -> tuple[Drop, ...]:
        """One drop for every stage but the first, each ranked by its own layer."""
        layers = self.layers or tuple(depth * stage // STAGES for stage in range(1, STAGES))
        return tuple(Drop(layer, self.ratio**stage, scorer=layer) for stage, layer in enumerate(layers, 1))

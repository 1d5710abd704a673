"""Methods that work inside the language model: which of its layers read which share of the tokens."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from vidfold.checks import check_count, check_ratio, setting
from vidfold.drops import Drop, check_drops
from vidfold.reducers.base import Reducer
from vidfold.tokens import VideoTokens

STAGES = 4


@dataclass(frozen=True)
class InnerReducer(Reducer):
    """A method that drops tokens between the layers of the language model, which is given all of them.

    A method is a frozen dataclass that subclasses this, sets the class variables of any `Reducer`, and implements
    `drops`.
    ``vidfold.fold(model, method)`` applies it; it cannot be called on a `VideoTokens`.
    """

    @abstractmethod
    def drops(self, depth: int) -> tuple[Drop, ...]:
        """The drops in a decoder of ``depth`` layers, before `schedule` checks them."""

    def schedule(self, depth: int) -> tuple[Drop, ...]:
        """The drops in a decoder of ``depth`` layers, in their order; a ValueError for layers that it does not have."""
        drops = self.drops(depth)
        check_drops(drops, depth)
        return drops

    def count(self, frames: int, cells: int) -> int:
        """All F*N tokens: the language model is given all of them."""
        return frames * cells

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> NoReturn:
        """Refused with a ValueError: the ranking needs the language model."""
        raise ValueError(f"{self.name} works inside the language model: use it as vidfold.fold(model, {self!r})")


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

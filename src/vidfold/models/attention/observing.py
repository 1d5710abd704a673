"""Observe the queries and keys of chosen attention modules while a tower runs as usual.

They are read where the tower passes them to its attention function (SDPA, flash or eager, as it was loaded), after
rotary embedding and query/key norm. So one function serves every tower that uses the attention registry of
transformers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidfold.models.attention.received import received
from vidfold.models.attention.replacing import Instead, Stock, replaced


@dataclass(frozen=True, eq=False)
class Attended:
    """The inputs of one call of an attention function; each is what `received` takes by that name.

    Towers with windows pass either the lengths of all in one call of a flash function, as here, or one window per call,
    in order.
    """

    query: Tensor
    key: Tensor
    scale: float
    lengths: Tensor | None = None

    def received(self) -> Tensor:
        """Attention each key receives, (F, N) float32; see `vidfold.models.attention.received.received`."""
        return received(self.query, self.key, self.scale, lengths=self.lengths)


Observer = Callable[[Attended], None]
"""Called before every call of an observed module's attention function, without gradients."""

SHALLOW_LAYER, DEEP_LAYER = 5, -2
REFERENCE_DEPTH = 26
"""Layers of LLaVA-OneVision's tower, for which the shallow layer was chosen."""


@contextmanager
def observe(observers: Sequence[tuple[nn.Module, Observer]]) -> Iterator[None]:
    """Call observers with the inputs of attention modules while the block runs.

    The modules attend as before, in this thread and in others; see `vidfold.models.attention.replacing.replaced`.

    Args:
        observers: pairs of an attention module and its observer; a module may come twice.

    Raises:
        ValueError: a module that does not use the attention registry of transformers; later, in a call, weights that
            depend on more than `Attended` holds: a causal order, or one of `replacing.BEYOND`.
    """
    with replaced([(module, _observing(observer)) for module, observer in observers]):
        yield


@contextmanager
def collected(
    modules: Mapping[str, nn.Module], arranged: Callable[[Attended], Sequence[Attended]] | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """What attention modules attend with while the block runs.

    Args:
        modules: name -> module.
        arranged: what to take for the inputs of a call; None: they themselves.

    Yields:
        By the same names, of every call of the module: where the name is "keys" its keys (F * N, E), mean over heads,
        else the attention that every key receives, (F * N,) float32.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in modules}

    def collect(name: str) -> Observer:
        def observer(attended: Attended) -> None:
            for each in [attended] if arranged is None else arranged(attended):
                parts[name].append((each.key.mean(1) if name == "keys" else each.received()).flatten(0, 1))

        return observer

    with observe([(module, collect(name)) for name, module in modules.items()]):
        yield parts


def _observing(observer: Observer) -> Instead:
    def instead(stock: Stock, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **settings: Any) -> Any:
        with torch.no_grad():
            observer(_attended(stock, query, key, {"attention_mask": mask} | settings))
        return stock(query, key, value, mask, **settings)

    return instead


def _attended(stock: Stock, query: Tensor, key: Tensor, settings: Mapping[str, Any]) -> Attended:
    if beyond := stock.beyond(settings):
        raise ValueError(
            f"{type(stock.module).__name__} attends with {' and '.join(beyond)}, which received attention does not "
            "support: observe a vision tower that attends in both directions, or load the model with "
            "attn_implementation='sdpa'"
        )
    scale, ends = settings.get("scaling"), settings.get("cu_seq_lens_q") if stock.packs else None
    return Attended(
        query, key, query.shape[-1] ** -0.5 if scale is None else scale, None if ends is None else ends.diff()
    )


def chosen_layers(shallow: int | None, deep: int | None, depth: int) -> dict[str, int]:
    """Positions 0..depth-1 of the two layers from which saliency is taken.

    Args:
        shallow: index of the shallow layer; None is 5, or round(5/26 · depth) in a tower of 5 or fewer layers.
        deep: index of the deep layer; None is -2, or the only layer of a tower with one layer.
        depth: number of layers that lead to the tower's features.

    Raises:
        ValueError: no such layer; the message names the field ``shallow_layer`` or ``deep_layer``.
    """
    if shallow is None:
        shallow = SHALLOW_LAYER if depth > SHALLOW_LAYER else round(SHALLOW_LAYER / REFERENCE_DEPTH * depth)
    if deep is None:
        deep = max(DEEP_LAYER, -depth)
    return {"shallow": layer_index("shallow_layer", shallow, depth), "deep": layer_index("deep_layer", deep, depth)}


def leading(modules: Sequence[nn.Module], states: int | Sequence[int]) -> list[nn.Module]:
    """The first of a tower's layers: as many as lead to hidden states of these numbers.

    Hidden states are counted from the embeddings, number 0, so number n is what n layers made. A ValueError for a
    number that the tower does not have.
    """
    numbers = states if isinstance(states, Sequence) else [states]
    depth = max(layer_index("vision_feature_layer", number, len(modules) + 1) for number in numbers)
    return list(modules[: max(1, depth)])


def layer_index(name: str, index: int, depth: int) -> int:
    """Position 0..depth-1 of a layer, a negative index counted from the end; a ValueError names the field ``name``."""
    if isinstance(index, bool) or not isinstance(index, int) or not -depth <= index < depth:
        raise ValueError(
            f"{name} must be an integer from {-depth} to {depth - 1} in a tower of {depth} layers, got {index!r}"
        )
    return index % depth

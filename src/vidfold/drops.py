"""Schedules of drops: the share of a video's tokens that each layer of a language model reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from vidfold.ops.shares import kept_tokens


@dataclass(frozen=True)
class Drop:
    """From one decoder layer on, only a share of every video's tokens is kept.

    Attributes:
        layer: the first decoder layer that reads fewer tokens, counted from 0; layer 0 always reads all.
        share: of the tokens of the video that the language model was given, in (0, 1].
        scorer: the layer whose attention ranks the tokens: ``layer`` itself, before it runs, or an earlier one that
            reads the same tokens.
    """

    layer: int
    share: float
    scorer: int

    def left(self, full: int) -> int:
        """Tokens kept of a video of ``full`` tokens: the share met exactly, and at least one."""
        return kept_tokens(self.share, full, 1)


def check_drops(drops: Sequence[Drop], depth: int) -> None:
    """Raise a ValueError unless layers ascend within a decoder of ``depth`` layers and scorers read the same tokens."""
    layers = [drop.layer for drop in drops]
    if layers != sorted(set(layers)) or not all(0 < layer < depth for layer in layers):
        raise ValueError(
            f"layers that drop tokens must ascend within 1 to {depth - 1} in a language model of {depth} layers, "
            f"got {', '.join(map(str, layers))}: choose them by the method's field"
        )
    for before, drop in zip([0, *layers], drops, strict=False):
        if not before <= drop.scorer <= drop.layer:
            raise ValueError(
                f"the drop at layer {drop.layer} must be ranked by a layer from {before} to {drop.layer}, "
                f"got {drop.scorer}"
            )


def kept_by_layer(drops: Sequence[Drop], depth: int, full: int) -> tuple[int, ...]:
    """Tokens of a video of ``full`` tokens that each of ``depth`` layers reads."""
    kept = [full] * depth
    for drop in drops:
        kept[drop.layer :] = [drop.left(full)] * (depth - drop.layer)
    return tuple(kept)

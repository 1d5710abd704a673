"""What a family says of its vision tower to what computes part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import layer_index


@dataclass(frozen=True, eq=False)
class Tower:
    """A loaded vision tower.

    The states of all frames of all videos are a table, frame after frame: (frames, tokens, D) or (rows, D).

    Attributes:
        module: it.
        layers: all of its layers, in order.
        attentions: the attention module of each.
        ends: modules whose output is read for all tokens: layers, or what comes behind them and works on every token,
            or every unit, by itself.
        prefix: tokens before the units of every frame, such as CLS.
        unit: tokens of a unit.
        orders: of every video, the unit that the tower has at each place of a frame, (N,) int64; None: as they come.
        windows: of every video, how many units each window of a frame has, (W,) int64 in the tower's order; None where
            all layers attend to whole frames.
        windowed: numbers 0... of the layers that attend within windows.
    """

    module: nn.Module
    layers: Sequence[nn.Module]
    attentions: Sequence[nn.Module]
    ends: Sequence[nn.Module]
    prefix: int = 0
    unit: int = 1
    orders: Sequence[Tensor] | None = None
    windows: Sequence[Tensor] | None = None
    windowed: frozenset[int] = frozenset()

    def windows_of(self, video: int, size: int) -> Tensor:
        """Tokens of every window of a frame of ``size`` tokens, (W,) int64."""
        return torch.tensor([size]) if self.windows is None else self.windows[video] * self.unit

    def check(self) -> None:
        """Raise a ValueError where the layers do not run once, as they are called."""
        for layer in (self.module, *self.layers):
            if hasattr(layer, "_orig_mod") or layer._compiled_call_impl is not None:
                raise ValueError(
                    "the vision tower is compiled, and a tower method changes its shapes in every call: compile the "
                    "language model alone, or use tower=None"
                )
            if getattr(layer, "gradient_checkpointing", False) and layer.training and torch.is_grad_enabled():
                raise ValueError(
                    "the vision tower uses gradient checkpointing, which would run its layers again without the plan "
                    "of the tower method: switch it off, or use tower=None"
                )


def state_layers(layers: Sequence[nn.Module], states: int | Sequence[int]) -> list[nn.Module]:
    """The layers that make hidden states of these numbers; number 0 is what the first layer gets.

    Raises:
        ValueError: number 0, for which no layer is computed.
    """
    numbers = [
        layer_index("vision_feature_layer", number, len(layers) + 1)
        for number in (states if isinstance(states, Sequence) else [states])
    ]
    if 0 in numbers:
        raise ValueError("vision_feature_layer 0 is what the first layer gets: a tower method has nothing to skip")
    return [layers[number - 1] for number in numbers]


def patched(pixels: Tensor, height: int, width: int) -> Tensor:
    """Pictures (..., C, H, W) in patches (..., N, C * height * width), row-major; what is over at the edges is cut."""
    rows, columns = pixels.shape[-2] // height, pixels.shape[-1] // width
    whole = pixels[..., : rows * height, : columns * width]
    parts = whole.reshape(*pixels.shape[:-2], rows, height, columns, width)
    patches: Tensor = parts.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)
    return patches

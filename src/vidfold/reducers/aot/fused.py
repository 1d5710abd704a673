"""`vidfold.AOT` on a GPU: the same steps as in `method.py`, in the kernels of `vidfold.ops.kernels`.

Importing this module imports Triton.
"""

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops.kernels import channels, groups, quantise
from vidfold.ops.kernels.clip import Layout
from vidfold.tokens import Reduction, VideoTokens


def fold(
    tokens: VideoTokens,
    clips: Clips,
    total: int,
    rounds: int,
    sketch: int | None,
    locality: float,
    coarse: int,
    close: float,
    *,
    weights: bool,
) -> Reduction:
    """Fold one or more videos, given as one, to ``total`` tokens; the settings are those of `AOT`.

    The choice has no gradient, as elsewhere; where features need one, their means are taken by torch.
    """
    features = tokens.pooled().contiguous()
    height, width = tokens.language_grid
    means, places, targets = folded(
        features.detach(), clips.starts, clips.lengths, clips.longest, total, height, width,
        rounds, sketch, locality, coarse, close,
    )  # fmt: skip
    mix = Mix.means(targets, total) if weights or features.requires_grad else None
    if mix is not None and features.requires_grad:
        return mix.reduction(tokens, features.float(), places, weights=weights)
    matrix = mix.matrix() if mix is not None else None
    return Reduction.of(tokens, means, places // tokens.cells, places % tokens.cells, matrix)


def launched(
    features: Tensor,
    starts: Tensor,
    lengths: Tensor,
    longest: int,
    total: int,
    height: int,
    width: int,
    rounds: int,
    sketch: int | None,
    locality: float,
    coarse: int,
    close: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, places and targets as `vidfold.ops.kernels.groups.means` gives them, for features (F, N, D)."""
    frames, cells, _ = features.shape
    layout, values = Layout(starts, lengths, frames, cells, total, longest), features.flatten(0, 1)
    with torch.cuda.device_of(features):  # type: ignore[no-untyped-call]
        units = channels.units(values, sketch)
        if locality:
            units = channels.located(units, layout, (height, width), locality)
        labels, near = quantise.quantise(units, layout, rounds, coarse)
        return groups.means(values, labels, near, layout, close)


folded = torch.library.custom_op("vidfold::aot", launched, mutates_args=())
"""`launched` as an operator of its own, which torch.compile takes as it is."""


@folded.register_fake
def _(features: Tensor, starts: Tensor, lengths: Tensor, longest: int, total: int, *_: object) -> tuple[Tensor, ...]:
    frames, cells, channels = features.shape
    places = torch.empty(total, dtype=torch.int64, device=features.device)
    return features.new_empty(total, channels), places, places.new_empty(frames * cells)

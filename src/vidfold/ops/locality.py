"""Time and place as channels of a token: a cosine then tells tokens that are far apart from near ones."""

import math

import torch
from torch import Tensor

from vidfold.clips import Clips
from vidfold.tokens import Grid

TIME, PLACE = 2 / 3, 1 / 6
"""How much of the distance that costs is of time, and of rows and of columns each."""
ROUNDING = 1e-5
"""Above what rounding does to the spread of equal tokens, so that theirs is exactly 0."""


def located(units: Tensor, clips: Clips, grid: Grid, locality: float) -> Tensor:
    """Tokens with channels for time, row and column, in which distance costs, too.

    1 - cos of two results is a mean of two costs, of weights 1 and k = ``locality`` * spread: 1 - cos of the tokens,
    and 1 - cos(pi/2 * d), where the distance d is told as a share of the clip's length (two thirds of the weight), of
    the frame's height and of its width (a sixth each). Near 0 this cost grows with the square of d. The spread is the
    mean of 1 - cos over all pairs of tokens of the clip, so towers whose tokens are all alike are treated as others.

    Args:
        units: (F, N, E) float32, tokens of length 1 or 0, on ``grid``.
        clips: of the F frames; only tokens of one clip can be compared.
        grid: height and width, N = h*w.
        locality: weight, at least 0.

    Returns:
        (F, N, E + 6) float32; tokens of length 1 have this length again.
    """
    frames, cells, _ = units.shape
    height, width = grid
    mean = clips.sums(units.mean(1)) / clips.length[:, None]
    weight = locality * (1 - ROUNDING - mean.square().sum(1)).clamp_min(0)[:, None, None]
    cell = torch.arange(cells, device=units.device)
    place = torch.cat([_quarter(cell // width, height, PLACE), _quarter(cell % width, width, PLACE)], dim=1)
    time = _quarter(clips.position, clips.length, TIME)[:, None]
    where = torch.cat([time.expand(-1, cells, -1), place.expand(frames, -1, -1)], dim=2)
    return torch.cat([units, weight.sqrt() * where], dim=2) * (1 + weight).rsqrt()


def _quarter(at: Tensor, length: Tensor | int, weight: float) -> Tensor:
    """Points (m, 2) on a quarter of a circle for places (m,) int64 along a length; its radius squared is the weight."""
    angles = math.pi / 2 * (at.float() / length)
    return math.sqrt(weight) * torch.stack([angles.cos(), angles.sin()], dim=1)

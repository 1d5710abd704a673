"""Time and place as channels: against plain loops, and what they promise."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vidfold.clips import Clips
from vidfold.ops.locality import located
from vidfold.tokens import Grid


def placed(units: Tensor, frames: int, grid: Grid, locality: float) -> Tensor:
    """`located` of one clip (L*N, E) by plain loops, in float64, from its description."""
    height, width = grid
    weight = locality * max(0.0, float((1 - units @ units.T).mean()) - 1e-5)
    found = []
    for row, unit in enumerate(units):
        frame, cell = divmod(row, height * width)
        point = []
        for share, at, length in ((2 / 3, frame, frames), (1 / 6, cell // width, height), (1 / 6, cell % width, width)):
            angle = math.pi / 2 * at / length
            point += [math.sqrt(weight * share) * math.cos(angle), math.sqrt(weight * share) * math.sin(angle)]
        found.append(torch.cat([unit, torch.tensor(point, dtype=unit.dtype)]) / math.sqrt(1 + weight))
    return torch.stack(found)


def tokens(frames: int, cells: int, width: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(frames, cells, width, generator=generator), dim=2)


@pytest.mark.parametrize("locality", [0.3, 1.0, 5.0])
def test_equals_plain_loops(locality):
    """Every clip by itself, also of unequal length."""
    units, grid = tokens(7, 6), (2, 3)
    clips = Clips(torch.tensor([0, 2, 6]), torch.tensor([2, 4, 1]), 7, 4)
    found = located(units, clips, grid, locality)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(7, 6))
    for first, length in ((0, 2), (2, 4), (6, 1)):
        expected = placed(units[first : first + length].flatten(0, 1).double(), length, grid, locality)
        torch.testing.assert_close(found[first : first + length].flatten(0, 1).double(), expected, atol=1e-5, rtol=0)


def test_tokens_that_are_all_alike_are_told_apart_as_little_as_by_their_features():
    """Whatever all tokens share: time and place weigh by how far the tokens are apart."""
    units, clips = tokens(4, 6), Clips(torch.tensor([0]), torch.tensor([4]), 4, 4)
    shared = normalize(torch.cat([torch.full((4, 6, 1), 30.0), units], dim=2), dim=2)
    plain, close = (located(each, clips, (2, 3), 1.0).flatten(0, 1).double() for each in (units, shared))
    far, near = 1 - plain @ plain.T, 1 - close @ close.T
    assert float(near.max()) < 0.01
    assert float(torch.corrcoef(torch.stack([far.flatten(), near.flatten()]))[0, 1]) > 0.97


def test_equal_tokens_stay_equal():
    units = tokens(1, 1).expand(5, 6, -1)
    found = located(units, Clips(torch.tensor([0]), torch.tensor([5]), 5, 5), (2, 3), 1.0)
    assert (found == found[0, 0]).all()

"""Newlines after the rows of a grid."""

import dataclasses

import pytest
import torch

from tests.conftest import make_video
from tests.waiting import Waits
from vidfold import Pooling
from vidfold.newlines import full_rows, with_newlines
from vidfold.reducers import Identity
from vidfold.reducers.base import select


@pytest.mark.parametrize(
    ("lines", "cells"), [(None, [0, 1, 6, 5, 8]), (range(6), [6, 7, 8, 0, 1, 6, 7, 5, 8]), ([5], [0, 1, 5, 8])]
)
def test_newlines(lines, cells):
    video = make_video(frames=2, grid=(3, 2), pooling=Pooling.NONE)
    reduction = select(video, torch.tensor([6, 11, 7]), weights=True)
    lines = None if lines is None else torch.tensor(lines)
    lined = with_newlines(reduction, torch.full((16,), 9.0), lines)
    assert lined.cells.tolist() == cells
    assert lined.newlines == (2 if lines is None else len(lines))
    assert lined.retention == reduction.retention
    sources = torch.cat([video.features.flatten(0, 1), torch.full((1, 16), 9.0)])
    torch.testing.assert_close(lined.weights.to_dense() @ sources, lined.tokens)
    plain = with_newlines(dataclasses.replace(reduction, weights=None), torch.full((16,), 9.0), lines)
    assert plain.weights is None


def test_full_rows_equal_a_reduction_that_keeps_everything():
    video = make_video(frames=2, grid=(5, 7), pooling=Pooling.AVERAGE)
    newline = torch.full((16,), 9.0)
    rows = full_rows(video.pooled(), video.language_grid, newline)
    assert rows.shape == (2, 2 * 4, 16)
    assert torch.equal(rows.flatten(0, 1), with_newlines(Identity()(video), newline).tokens)


def test_newlines_are_not_added_twice_and_cost_one_wait():
    video = make_video(frames=2, grid=(3, 2), pooling=Pooling.NONE)
    reduction = select(video, torch.tensor([6, 11, 7]), weights=True)
    with Waits() as counted:
        lined = with_newlines(reduction, torch.full((16,), 9.0))
    assert counted.waits == 1
    assert with_newlines(lined, torch.full((16,), 9.0)) is lined

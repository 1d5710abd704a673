"""Blind baselines: evenly spaced cells, in space or in space and time, and average pooling."""

import pytest
import torch

from tests.conftest import make_video
from vidfold import Pooling
from vidfold.reducers.baselines import AveragePool, SpacetimeGrid, UniformGrid, nearest_grid, spread_cells


@pytest.mark.parametrize("grid", [(14, 14), (13, 13), (7, 5), (1, 9), (9, 1)])
def test_cells_are_as_many_as_asked_and_spread(grid):
    height, width = grid
    for count in range(height * width + 1):
        cells = spread_cells(count, grid)
        assert len(cells) == count
        assert (cells.diff() > 0).all()
        assert ((cells >= 0) & (cells < height * width)).all()
        if count:
            in_row = (cells // width).bincount(minlength=height)
            assert in_row.max() - in_row[in_row > 0].min() <= 1


def test_a_square_number_is_a_square_grid():
    assert spread_cells(4, (4, 4)).tolist() == [5, 7, 13, 15]
    assert torch.equal(spread_cells(196, (14, 14)), torch.arange(196))


def test_frames_share_evenly():
    reduction = UniformGrid(0.1)(make_video(frames=32, grid=(14, 14), pooling=Pooling.NONE))
    counts = reduction.frames.bincount(minlength=32)
    assert len(reduction) == 627
    assert set(counts.tolist()) == {19, 20}
    few = UniformGrid(3 / (9 * 20))(make_video(frames=9, grid=(4, 5), pooling=Pooling.NONE))
    assert len(few.frames.unique()) == 3


@pytest.mark.parametrize(("every", "frames"), [(1, 12), (3, 4), (5, 3), (100, 2), (None, 6)])
def test_every_nth_frame_on_a_denser_grid(every, frames):
    reduction = SpacetimeGrid(0.1, every=every)(make_video(frames=12, grid=(5, 4), pooling=Pooling.NONE))
    assert len(reduction) == 24
    assert len(reduction.frames.unique()) == frames


def test_bad_stride():
    with pytest.raises(ValueError, match="every must be a whole number of at least 1, got 0"):
        SpacetimeGrid(every=0)


@pytest.mark.parametrize(
    ("least", "grid", "expected"),
    [
        (20, (14, 14), (4, 5)),
        (13, (14, 14), (3, 5)),
        (196, (14, 14), (14, 14)),
        (1, (14, 14), (1, 1)),
        (3, (1, 9), (1, 3)),
    ],
)
def test_the_nearest_grid(least, grid, expected):
    assert sorted(nearest_grid(least, grid)) == sorted(expected)


def test_average_pooling_to_a_divisor_is_average_pooling():
    video = make_video(frames=3, grid=(8, 6), pooling=Pooling.NONE)
    reduction = AveragePool(0.25)(video, weights=True)
    planes = video.features.transpose(1, 2).reshape(3, 16, 8, 6)
    expected = torch.nn.functional.avg_pool2d(planes, 2).flatten(2).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(reduction.tokens, expected, rtol=1e-5, atol=1e-5)
    assert reduction.cells[:3].tolist() == [0, 2, 4]
    assert (reduction.weights.to_dense().sum(0) > 0).all()


def test_surplus_is_dropped_evenly():
    video = make_video(frames=8, grid=(14, 14), pooling=Pooling.NONE)
    reduction = AveragePool(0.08)(video)
    counts = reduction.frames.bincount(minlength=8)
    assert len(reduction) == 125
    assert counts.max() - counts.min() <= 1

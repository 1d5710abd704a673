"""Where the cells of a video went."""

import numpy as np
import pytest
import torch

from tests.conftest import make_video
from vidfold.newlines import with_newlines
from vidfold.reducers import AOT, AveragePool, Random
from vidfold.show.trace import Role, Trace


def by_hand(weights: list[list[float]], places: list[int], cells: int = 2, **more) -> Trace:
    """Three frames of two cells."""
    at = torch.tensor(places)
    return Trace.of(at // cells, at % cells, (1, cells), 6, torch.tensor(weights).to_sparse(), **more)


def test_roles_by_hand():
    trace = by_hand([[0.5, 0.3, 0, 0.2, 0, 0], [0, 0, 0, 0.4, 0.6, 0]], [0, 4])
    names = ["TOKEN", "SAME_FRAME", "DROPPED", "LATER", "TOKEN", "DROPPED"]
    assert [Role(role).name for role in trace.roles] == names
    assert trace.counts.tolist() == [1, 0, 1]
    earlier = by_hand([[0.5, 0.3, 0, 0.2, 0, 0], [0, 0, 0, 0.1, 0.9, 0]], [0, 4])
    assert earlier.roles[3] == Role.EARLIER


@pytest.mark.parametrize("method", [AOT(0.2), AveragePool(0.2), Random(0.2), AOT.paper(0.2)])
def test_shares_are_the_weights(method):
    reduction = method(make_video(), weights=True)
    trace = reduction.trace
    rebuilt = torch.zeros(len(reduction), reduction.full)
    rebuilt[torch.tensor(trace.token), torch.tensor(trace.source)] = torch.tensor(trace.share)
    torch.testing.assert_close(rebuilt, reduction.weights.to_dense())
    assert (trace.roles == Role.DROPPED).sum() == (reduction.weights.to_dense().sum(0) == 0).sum()


def test_without_weights_the_tokens_alone_are_known():
    trace = AOT(0.2)(make_video()).trace
    assert not trace.known
    assert set(trace.roles.tolist()) == {Role.TOKEN, Role.UNKNOWN}
    assert (trace.roles == Role.TOKEN).sum() == trace.counts.sum() == len(trace.places)


def test_newlines_are_left_out():
    video = make_video()
    reduction = AOT(0.2)(video, weights=True)
    trace = with_newlines(reduction, torch.ones(16)).trace
    assert trace.known
    assert np.array_equal(trace.places, np.sort(reduction.trace.places))
    assert np.array_equal(trace.roles, reduction.trace.roles)
    assert np.array_equal(trace.source, reduction.trace.source)


def test_encoder_tokens_are_summed_to_the_cells_they_lie_in():
    weights = torch.full((1, 2 * 4 * 4), 1 / 32).to_sparse()
    place = torch.zeros(1, dtype=torch.int64)
    trace = Trace.of(place, place, (2, 2), 8, weights, patches=(4, 4))
    assert trace.source.tolist() == list(range(8))
    assert np.allclose(trace.share, 1 / 8)
    assert not Trace.of(place, place, (2, 2), 8, weights).known


def test_the_largest_shares():
    trace = AOT(0.2)(make_video(), weights=True).trace
    fewer = trace.largest(10)
    assert len(fewer.share) == len(fewer.source) == 10
    assert fewer.share.min() >= np.sort(trace.share)[-10]
    assert np.array_equal(fewer.roles, trace.roles)
    assert trace.largest(10_000) is trace


def test_one_frame_and_one_cell():
    trace = AOT(1.0)(make_video(1, (1, 1)), weights=True).trace
    assert trace.roles.tolist() == [Role.TOKEN]

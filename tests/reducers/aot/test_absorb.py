"""Composed matrices give what merging, then pooling gives."""

import pytest
import torch

from tests.conftest import make_video
from vidfold import Pooling
from vidfold.reducers.aot.absorb import absorb, absorbing, pooling_matrix, surviving


@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooling_matrix_pools(pooling):
    video = make_video(2, (7, 6), pooling=pooling)
    torch.testing.assert_close(pooling_matrix(video) @ video.features, video.pooled())


def _plan():
    """Two frames of six tokens; in each, two anchors and what the others send them."""
    anchors = torch.tensor([[1, 4], [0, 5]])
    sent = torch.rand(2, 6, 2)
    return anchors, sent.scatter(1, anchors[:, :, None].expand(2, 2, 2), 0.0)


def test_absorbing_equals_the_weighted_mean():
    anchors, sent = _plan()
    tokens = torch.randn(2, 6, 5)
    mix, mass = absorbing(sent, anchors)
    own = tokens.gather(1, anchors[:, :, None].expand(2, 2, 5))
    merged, grown = absorb(own, tokens, sent)
    torch.testing.assert_close(mix @ tokens, merged)
    torch.testing.assert_close(mass, grown)
    torch.testing.assert_close(mix.sum(2), torch.ones(2, 2))


@pytest.mark.parametrize("pooling", list(Pooling))
def test_surviving_cells_equal_the_merged_and_pooled_frame(pooling):
    video = make_video(2, (2, 3), pooling=pooling)
    anchors, sent = _plan()
    mix, _ = absorbing(sent, anchors)
    merged = video.features.scatter(1, anchors[:, :, None].expand(2, 2, video.features.shape[2]), mix @ video.features)
    cells = torch.tensor([[0], [video.cells - 1]])
    expected = video.pool(merged).gather(1, cells[:, :, None].expand(2, 1, video.features.shape[2]))
    torch.testing.assert_close(surviving(pooling_matrix(video), cells, anchors, mix) @ video.features, expected)

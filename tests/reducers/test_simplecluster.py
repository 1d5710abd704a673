"""SimpleCluster: the authors' clusters, and budgets that are met where theirs stops."""

import pytest
import torch

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling, VideoTokens
from vidfold.ops.cover import farthest_units
from vidfold.reducers.simplecluster import SimpleCluster, _fill_empty, rotated

CASES = peer_cases("simplecluster")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    video = peer_video(frames)
    reduction = SimpleCluster(params["r"], start=0, original=True)(video, weights=True)
    row, source = reduction.weights.indices()
    labels = torch.empty_like(row).scatter_(0, source, row)
    assert torch.equal(labels.view(frames, 196), golden["assign"].long())
    assert torch.equal(reduction.frames * 196 + reduction.cells, golden["first_pos"].long())
    torch.testing.assert_close(reduction.tokens, golden["tokens"], rtol=1e-5, atol=1e-5)
    units = torch.nn.functional.normalize(rotated(video.features, (14, 14), 1e4), dim=-1).flatten(0, 1)
    order = farthest_units(units[None], torch.tensor([0]), len(reduction))
    assert torch.equal(order[0], golden["init_idx"].long())


@pytest.mark.parametrize("channels", [1, 2, 3, 11, 16])
def test_rotation_keeps_norms_and_the_origin(channels):
    features = make_video(frames=3, channels=channels, pooling=Pooling.NONE).features
    turned = rotated(features, (9, 8), 1e4)
    torch.testing.assert_close(turned.norm(dim=2), features.norm(dim=2))
    assert torch.equal(turned[0, 0], features[0, 0])


def test_rotation_turns_each_part_by_its_own_coordinate():
    features = torch.ones(2, 6, 6)
    turned = rotated(features, (2, 3), 1e4)
    for frame in range(2):
        for cell in range(6):
            expected = []
            for coordinate in (frame, cell // 3, cell % 3):
                angle = torch.tensor(float(coordinate))
                expected += [angle.cos() - angle.sin(), angle.sin() + angle.cos()]
            torch.testing.assert_close(turned[frame, cell], torch.stack(expected))


def test_the_longest_token_comes_first():
    video = make_video(frames=3)
    longest = int(video.pooled().flatten(0, 1).norm(dim=1).argmax())
    torch.testing.assert_close(SimpleCluster(0.2)(video).tokens, SimpleCluster(0.2, start=longest)(video).tokens)


def test_empty_clusters_take_the_worst_covered_tokens():
    labels, coverage = torch.tensor([0, 0, 0, 3, 3, 5]), torch.tensor([0.9, 0.1, 0.5, 0.2, 0.8, 0.0])
    # Tokens 0, 4 and 5 are the best covered of their clusters; the worst of the others are 1, 3 and 2.
    assert _fill_empty(labels, coverage, 6).tolist() == [0, 1, 4, 2, 3, 5]
    assert _fill_empty(labels, coverage, 4 + 2).unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_copies_make_empty_clusters():
    blank = VideoTokens(torch.zeros(3, 16, 8), (4, 4))
    reduction = SimpleCluster(0.5)(blank, weights=True)
    assert len(reduction) == 24
    assert (reduction.weights.to_dense().sum(0) > 0).all(), "every token is in a cluster"
    with pytest.raises(ValueError, match="23 of 24 clusters are empty"):
        SimpleCluster(0.5, original=True)(blank)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "iterations must be a whole number"),
        ({"theta": 0.0}, "theta must be positive, got 0.0"),
        ({"start": -1}, "start must be a whole number of at least 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SimpleCluster(**settings)


def test_start_after_the_video_raises():
    with pytest.raises(ValueError, match="start=5000 is not one of the video's 120 tokens"):
        SimpleCluster(start=5000)(make_video())

"""ToMe: the published matching, and the exact budget against a plain loop."""

import pytest
import torch
from torch.nn import functional

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling, VideoTokens
from vidfold.reducers.tome import ToMe, merge_pairs

CASES = peer_cases("tome")


def make_keyed_video(frames: int = 5, grid: tuple[int, int] = (9, 7)) -> VideoTokens:
    video = make_video(frames, grid, pooling=Pooling.NONE)
    return VideoTokens(video.features, grid, keys=video.features[:, :, :6])


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    target, video = params["target_per_frame"], peer_video(frames)
    reduction = ToMe(original=True, tokens_per_frame=target)(video, weights=True)
    torch.testing.assert_close(reduction.tokens, golden["tokens"], rtol=1e-5, atol=1e-5)
    labels = merge_pairs(video.keys, target, by_similarity=True)
    assert torch.equal(labels, golden["assign"].long())
    sizes = functional.one_hot(labels, target).sum(1)
    assert torch.equal(sizes, golden["size"].long())
    torch.testing.assert_close(reduction.weights.to_dense() @ video.features.flatten(0, 1), reduction.tokens)


def _by_hand(keys: torch.Tensor, target: int) -> list[list[int]]:
    """Members of each merged token of one frame, in the order of the first."""
    groups = [[cell] for cell in range(len(keys))]
    while len(groups) > target:
        unit = [functional.normalize(keys[members].mean(0), dim=0) for members in groups]
        edges = []
        for a in range(0, len(groups), 2):
            similarity = [float(unit[a] @ unit[b]) for b in range(1, len(groups), 2)]
            best = max(range(len(similarity)), key=similarity.__getitem__)
            edges.append((similarity[best], a, 2 * best + 1))
        edges.sort(reverse=True)
        for _, a, b in edges[: min(len(groups) - target, len(groups) // 2)]:
            groups[b] = groups[b] + groups[a]
            groups[a] = []
        groups = sorted(sorted(group) for group in groups if group)
    return groups


@pytest.mark.parametrize("retention", [0.1, 0.33, 0.8])
def test_equals_a_plain_loop(retention):
    video = make_keyed_video()
    reduction = ToMe(retention)(video)
    counts = reduction.frames.bincount(minlength=5)
    assert counts.max() - counts.min() <= 1
    expected = []
    for frame, target in enumerate(counts.tolist()):
        expected += [video.features[frame, members].mean(0) for members in _by_hand(video.keys[frame], target)]
    torch.testing.assert_close(reduction.tokens, torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_frames_without_a_share_are_dropped():
    reduction = ToMe(2 / (5 * 63))(make_keyed_video(), weights=True)
    assert len(reduction) == len(reduction.frames.unique()) == 2
    assert ((reduction.weights.to_dense() > 0).sum(1) == 63).all()


def test_the_original_counts_tokens_a_frame():
    assert ToMe(original=True, tokens_per_frame=19).count(16, 196) == 304
    assert ToMe(original=True, tokens_per_frame=300).count(16, 196) == 16 * 196
    with pytest.raises(ValueError, match="tokens_per_frame must be a whole number"):
        ToMe(tokens_per_frame=0)

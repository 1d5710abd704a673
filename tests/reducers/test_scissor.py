"""LLaVA-Scissor: the authors' components at a threshold, and the exact budget."""

import pytest
import torch
from torch.nn import functional

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling, VideoTokens
from vidfold.ops.components import SpanningTree
from vidfold.reducers.scissor import LLaVAScissor, _by_budget, _by_threshold, _similarities

CASES = peer_cases("scissor")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    video = peer_video(frames)
    reduction = LLaVAScissor(original=True, tau=params["tau"])(video)
    # Where the authors' union-find loses tokens, the golden file also has what it would give without that.
    torch.testing.assert_close(reduction.tokens, golden.get("tokens_full", golden["tokens"]), rtol=1e-5, atol=1e-5)
    first, second = _by_threshold(video.features, params["tau"])
    counts = golden["first_counts"].long()
    expected = golden["first_label"].long()
    found = first.view(frames, 196) - (counts.cumsum(0) - counts)[:, None]
    lost = expected < 0
    assert lost.sum() == golden["lost"][0]
    assert torch.equal(found[~lost], expected[~lost])
    assert torch.equal(second, golden["second_label"].long())


def test_golden_closest_survivors():
    frames, params, golden = CASES["f9_tau87"]
    video = peer_video(frames)
    dense = LLaVAScissor(original=True, tau=params["tau"])(video, weights=True).weights.to_dense()
    closest = golden["assign"].long().flatten()
    assert (dense[closest, torch.arange(len(closest))] > 0).all()
    torch.testing.assert_close(dense.sum(1), torch.ones(len(dense)))
    assert (dense >= 0).all()


@pytest.mark.parametrize("retention", [0.02, 0.1, 0.3, 0.8])
def test_both_stages_are_cut_near_one_threshold(retention):
    features = peer_video(16).features
    total = LLaVAScissor(retention).count(16, 196)
    first, second = _by_budget(features, total)
    assert int(second.max()) + 1 == total
    links = SpanningTree.of(_similarities(features)).links.flatten().sort(descending=True).values
    threshold = float(links[len(first) - int(first.max()) - 2])
    _, at_threshold = _by_threshold(features, threshold)
    assert int(at_threshold.max()) + 1 == pytest.approx(total, rel=0.15)


def test_equals_a_plain_loop():
    video = make_video(frames=4, grid=(4, 5), pooling=Pooling.NONE)
    flat = video.features.flatten(0, 1)
    reduction = LLaVAScissor(0.3)(video)
    first, second = _by_budget(video.features, 24)
    means = [flat[first == group].mean(0) for group in range(int(first.max()) + 1)]
    survivors = [torch.stack([means[g] for g in range(len(means)) if second[g] == s]).mean(0) for s in range(24)]
    closest = functional.cosine_similarity(flat[:, None], torch.stack(survivors)[None], dim=-1).argmax(1)
    order = sorted(range(24), key=lambda s: int((second[first] == s).nonzero()[0]))
    expected = [(survivors[s] + flat[closest == s].sum(0)) / (1 + (closest == s).sum()) for s in order]
    torch.testing.assert_close(reduction.tokens, torch.stack(expected), rtol=1e-5, atol=1e-5)
    place = reduction.frames * 20 + reduction.cells
    assert (place.diff() > 0).all()


def test_a_still_video_is_one_frame():
    scene = make_video(frames=1, grid=(5, 5), pooling=Pooling.NONE)
    still = VideoTokens(scene.features.repeat(6, 1, 1), (5, 5))
    reduction = LLaVAScissor(25 / 150)(still)
    assert (reduction.frames == 0).all()
    torch.testing.assert_close(reduction.tokens, scene.features[0], rtol=1e-5, atol=1e-5)


def test_with_a_threshold_the_count_is_not_known():
    with pytest.raises(ValueError, match="depends on the video's content"):
        LLaVAScissor(original=True).count(16, 196)


def test_bad_settings():
    with pytest.raises(ValueError, match=r"tau must be a cosine similarity in \[-1, 1\], got 1.5"):
        LLaVAScissor(tau=1.5)

"""AOT's choices do not hang on rounding, on threads or on how the input lies in memory; and any shape can be folded."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from tests.conftest import make_video
from vidfold import AOT, Pooling, Reduction, VideoTokens


def big(frames: int = 12, side: int = 12, channels: int = 320) -> VideoTokens:
    """Large enough for the sketch, and for a product to be shared by threads."""
    return make_video(frames, (side, side), channels, Pooling.NONE)


def same_choices(found: Reduction, expected: Reduction) -> bool:
    return torch.equal(found.frames, expected.frames) and torch.equal(found.cells, expected.cells)


@pytest.mark.parametrize("retention", [0.02, 0.1, 0.25])
def test_noise_of_rounding_changes_no_choice(retention):
    video = big()
    noise = 1 + 1e-7 * torch.randn(video.features.shape, generator=torch.Generator().manual_seed(1))
    expected = AOT(retention)(video, weights=True)
    found = AOT(retention)(replace(video, features=video.features * noise), weights=True)
    assert same_choices(found, expected)
    moved = (found.weights.to_dense() - expected.weights.to_dense()).abs().sum(0) > 1e-3
    assert moved.float().mean() <= 0.001


def test_at_half_of_the_tokens_a_near_tie_changes_few_choices():
    """Two costs that differ by less than float32 tells may change places, and some anchors near them with them.

    How many depends on the processor: 1 % with AVX2, 5 % without it.
    """
    video = big()
    noise = 1 + 1e-7 * torch.randn(video.features.shape, generator=torch.Generator().manual_seed(1))
    places = []
    for features in (video.features, video.features * noise):
        reduction = AOT(0.5)(replace(video, features=features))
        places.append(set((reduction.frames * video.cells + reduction.cells).tolist()))
    assert len(places[0] & places[1]) >= 0.9 * len(places[0])


def test_threads_change_nothing():
    video = big(frames=4, side=16)
    expected = AOT(0.25)(video)
    torch.set_num_threads(2)
    try:
        found = AOT(0.25)(video)
    finally:
        torch.set_num_threads(1)
    assert same_choices(found, expected)
    torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=1e-5)


def test_batches_and_slices_change_nothing():
    video = big()
    expected = AOT(0.25)(video)
    more = torch.cat([video.features, video.features], dim=2)
    sliced = replace(video, features=more[:, :, : video.features.shape[2]])
    for found in [AOT(0.25)(sliced), *AOT(0.25).many([video, big(side=12), sliced])]:
        assert same_choices(found, expected)
        torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=1e-5)


def _copies() -> VideoTokens:
    """Two different tokens, each many times over."""
    features = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    return VideoTokens(features[torch.arange(8 * 64) % 2].view(8, 64, 8), (8, 8))


def _unequal() -> VideoTokens:
    """Three tokens of one kind among five hundred of another."""
    video = make_video(8, (8, 8), 16, Pooling.NONE)
    features = torch.ones(16) + 0.1 * video.features
    features[2:5, 20] = -torch.ones(16) + 0.1 * video.features[2:5, 20]
    return replace(video, features=features)


SHAPES = {
    "4,096 cells a frame": lambda: make_video(2, (64, 64), 8, Pooling.NONE),
    "one frame of 10,000 cells": lambda: make_video(1, (100, 100), 8, Pooling.NONE),
    "2,000 frames of one cell": lambda: make_video(2000, (1, 1), 8, Pooling.NONE),
    "copies": _copies,
    "two kinds of very different size": _unequal,
}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("retention", [1e-4, 0.05])
@pytest.mark.parametrize("video", SHAPES.values(), ids=SHAPES)
def test_any_shape(video, retention, autocast):
    video, method = video(), AOT(retention)
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        reduction = method(video)
    place = reduction.frames * video.cells + reduction.cells
    assert len(reduction) == method.count(video.frames, video.cells)
    assert (place.diff() > 0).all(), "reading order, each cell once"
    assert torch.isfinite(reduction.tokens).all()


def test_fewer_tokens_than_clips_that_were_asked_for():
    reduction = AOT(0.02, clip=1)(make_video(50, (2, 2), 8, Pooling.NONE))
    assert len(reduction) == 4


def test_a_small_kind_gets_tokens_of_its_own():
    reduction = AOT(0.02)(_unequal())
    negative = reduction.tokens.mean(1) < 0
    assert negative.any()
    assert (reduction.tokens.mean(1).abs() > 0.8).all(), "no token is a mixture of the two kinds"


def test_copies_keep_both_kinds():
    video = _copies()
    reduction = AOT(0.02)(video)
    kinds = video.features[0, :2]
    assert (torch.cdist(kinds, reduction.tokens).amin(1) < 1e-4).all()

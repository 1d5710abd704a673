"""The fold of the authors' way equals `AOT.reference`."""

import dataclasses

import pytest
import torch

from lab.authors import Authors
from tests.conftest import load_golden, make_video
from vidfold import AOT, Pooling


@pytest.mark.parametrize("gemm", [False, True])
@pytest.mark.parametrize(
    ("settings", "frames"),
    [
        ({}, 8),
        ({"anchors": 205, "keep": 0.4}, 5),
        ({"keep": 0.0}, 8),
        ({"keep": 1.0}, 8),
        ({"anchors": 729, "keep": 0.1}, 4),
    ],
)
def test_equals_the_reference(settings, frames, gemm):
    video = make_video(frames, (27, 27), channels=16, seed=1)
    expected = AOT.reference(**settings)(video)
    ours = Authors(**settings, gemm=gemm)(video)
    assert len(ours) == len(expected)
    assert torch.equal(ours.frames, expected.frames)
    assert torch.equal(ours.cells, expected.cells)
    assert (ours.grid, ours.full) == (expected.grid, expected.full)
    torch.testing.assert_close(ours.tokens, expected.tokens, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gemm", [False, True])
def test_equals_golden(ov_video, gemm):
    expected = load_golden("aot/ov_v126_q30")["tokens"]
    torch.testing.assert_close(Authors(gemm=gemm)(ov_video).tokens, expected, atol=1e-5, rtol=0)


def test_output_has_the_dtype_of_the_input():
    video = make_video(3, (27, 27), dtype=torch.bfloat16)
    assert Authors()(video).tokens.dtype == torch.bfloat16


def test_gemm_only_replaces_the_broadcast(monkeypatch):
    seen = []
    similarity = torch.nn.functional.cosine_similarity

    def watched(others, anchors, dim):
        seen.append((tuple(others.shape), tuple(anchors.shape)))
        return similarity(others, anchors, dim=dim)

    monkeypatch.setattr(torch.nn.functional, "cosine_similarity", watched)
    video = make_video(2, (27, 27))
    Authors(gemm=True)(video)
    assert seen == []
    Authors()(video)
    assert seen == [((603, 1, 16), (1, 126, 16))] * 2


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (make_video(2, (9, 8)), r"sides divisible by 3, got Pooling.BILINEAR of \(9, 8\)"),
        (make_video(2, (9, 9)), r"anchors=126 is more than the 81 patches of a \(9, 9\) grid"),
        (make_video(2, (27, 27), pooling=Pooling.AVERAGE), r"bilinear pooling.*got Pooling.AVERAGE of \(27, 27\)"),
        (dataclasses.replace(make_video(2, (27, 27)), deep=None), "needs VideoTokens.deep"),
    ],
)
def test_bad_videos(video, message):
    with pytest.raises(ValueError, match=message):
        Authors()(video)

"""The authors' way equals `AOT.reference`, and its attention equals that of `vidfold.models.encode`."""

import dataclasses

import pytest
import torch

from tests.conftest import load_golden, make_video
from tests.models import builders
from vidfold import AOT, Pooling, models
from vidfold.bench.authors import Authors, encode


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


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_received_attention_equals_observed_attention(attention):
    model = builders.llava_onevision(attention=attention)
    inputs = {"pixel_values_videos": builders.pixels(model, videos=2, frames=3)}
    expected = models.encode(model, inputs, frozenset({"shallow", "deep"}))
    ours = encode(model, inputs)
    assert len(ours) == 2
    for video, other in zip(ours, expected, strict=True):
        assert (video.grid, video.pooling) == (other.grid, other.pooling)
        for name in ("features", "shallow", "deep"):
            torch.testing.assert_close(getattr(video, name), getattr(other, name), rtol=1e-4, atol=5e-5)
    torch.testing.assert_close(Authors()(ours[0]).tokens, AOT.reference()(expected[0]).tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("broken", [False, True])
def test_tower_attention_is_restored(monkeypatch, broken):
    model = builders.llava_onevision(side=7, patch=8)
    tower = model.model.vision_tower
    models.encode(model, {"pixel_values_videos": builders.pixels(model)})  # transformers adds its own hooks
    hooks = {name: len(module._forward_hooks) for name, module in tower.named_modules()}
    if broken:
        monkeypatch.setattr(model.model.multi_modal_projector, "forward", None)
        with pytest.raises(TypeError):
            encode(model, {"pixel_values_videos": builders.pixels(model)})
    else:
        encode(model, {"pixel_values_videos": builders.pixels(model)})
    assert {module.config._attn_implementation for module in (model, tower, model.get_decoder())} == {"sdpa"}
    assert all(layer.self_attn.config._attn_implementation == "sdpa" for layer in tower.encoder.layers)
    assert {name: len(module._forward_hooks) for name, module in tower.named_modules()} == hooks


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

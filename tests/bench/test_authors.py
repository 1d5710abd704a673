"""The attention of the authors' way equals that of `vidfold.models.encode`."""

import pytest
import torch

from tests.models import builders
from vidfold import models
from vidfold.bench.authors import encode


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

from types import SimpleNamespace

import pytest
import torch

from tests.models import builders
from tests.models.attention.test_received import Largest
from vidfold import Identity, Pooling, models
from vidfold.models import LlavaOnevision
from vidfold.models.attention.received import CPU_BLOCK

ALL = frozenset({"shallow", "deep", "keys"})


@pytest.mark.parametrize(("side", "patch"), [(27, 14), (6, 8)])
def test_pooled_features_equal_the_model(side, patch):
    model = builders.shared(side, patch)
    pixels = builders.pixels(model, videos=2, frames=3)
    videos = models.encode(model, {"pixel_values_videos": pixels})
    with torch.no_grad():
        stock = model.model.get_video_features(pixels, return_dict=True).pooler_output
    assert len(videos) == 2
    for video, expected in zip(videos, stock, strict=True):
        assert video.grid == (side, side)
        assert video.pooling is Pooling.BILINEAR
        assert video.features.shape == (3, side * side, 32)
        torch.testing.assert_close(video.pooled().flatten(0, 1), expected[:-1], rtol=0, atol=1e-6)
        assert video.shallow is video.deep is video.keys is video.frame_features is None


def test_attention_and_keys_come_from_the_chosen_layers():
    model = builders.shared()
    eager = builders.shared(attention="eager").model.vision_tower
    pixels = builders.pixels(model, videos=2, frames=2)
    videos = models.encode(model, {"pixel_values_videos": pixels}, ALL)
    seen = []
    hook = eager.encoder.layers[-1].self_attn.k_proj.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        matrices = eager(pixels.flatten(0, 1), output_attentions=True).attentions
    hook.remove()
    for name, layer in (("shallow", 1), ("deep", -2)):
        result = torch.cat([getattr(video, name) for video in videos])
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.double(), matrices[layer].double().sum(2).mean(1), rtol=1e-5, atol=0)
    keys = torch.cat([video.keys for video in videos])
    torch.testing.assert_close(keys, seen[0].unflatten(-1, (2, 16)).mean(-2), rtol=1e-5, atol=1e-5)


def test_layers_are_fields():
    model = builders.shared()
    pixels = {"pixel_values_videos": builders.pixels(model)}
    chosen = LlavaOnevision(model, shallow_layer=-2, deep_layer=1)
    (default,), (swapped,) = models.encode(model, pixels, ALL), chosen.encode(pixels, ALL)
    assert torch.equal(swapped.shallow, default.deep)
    assert torch.equal(swapped.deep, default.shallow)
    assert not torch.equal(default.deep, default.shallow)
    (other,) = LlavaOnevision(model, deep_layer=-1).encode(pixels, ALL)
    assert not torch.equal(other.deep, default.deep)


@pytest.mark.parametrize(
    ("depth", "feature_layer", "shallow", "deep"),
    [
        (26, -1, 5, 24),
        (27, -2, 5, 24),
        (27, 26, 5, 24),
        (27, [-2, 3], 5, 24),
        (6, -1, 5, 4),
        (5, -1, 1, 3),
        (4, -1, 1, 2),
        (3, -1, 1, 1),
        (2, -1, 0, 0),
        (1, -1, 0, 0),
    ],
)
def test_default_layers_of_towers_of_any_depth(depth, feature_layer, shallow, deep):
    model = builders.llava_onevision(2, 4, depth=depth, vision_feature_layer=feature_layer)
    assert LlavaOnevision(model).observed_layers() == {"shallow": shallow, "deep": deep}


@pytest.mark.parametrize("layers", [{"shallow_layer": 7}, {"deep_layer": -8}, {"deep_layer": 1.5}])
def test_layers_missing_in_the_tower_raise(layers):
    (name,) = layers
    with pytest.raises(ValueError, match=f"{name}.*{layers[name]}"):
        LlavaOnevision(builders.shared(), **layers)


def test_feature_layer_of_the_config_is_used():
    model = builders.shared(6, 8)
    inputs = {"pixel_values_videos": builders.pixels(model), "vision_feature_layer": -2}
    (video,) = models.encode(model, inputs, ALL)
    with torch.no_grad():
        stock = model.model.get_video_features(**inputs, return_dict=True).pooler_output
    torch.testing.assert_close(video.pooled().flatten(0, 1), stock[0, :-1])
    assert LlavaOnevision(model).observed_layers(inputs) == {"shallow": 1, "deep": 1}


def test_no_attention_matrix_is_allocated():
    model = builders.shared()
    pixels = builders.pixels(model, frames=10)
    models.encode(model, {"pixel_values_videos": pixels}, ALL)
    with Largest() as largest:
        models.encode(model, {"pixel_values_videos": pixels}, ALL)
    assert largest.elements <= max(CPU_BLOCK, pixels.numel()) < 10 * 2 * 729 * 729


def test_unneeded_attention_is_not_computed(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("computed")

    model = builders.shared(6, 8)
    monkeypatch.setattr("vidfold.models.attention.observing.received", refuse)
    monkeypatch.setattr("vidfold.models.attention.observing._observing", refuse)
    assert models.encode(model, {"pixel_values_videos": builders.pixels(model)})


def test_encoding_in_bfloat16():
    model = builders.llava_onevision(6, 8).bfloat16()
    (video,) = models.encode(model, {"pixel_values_videos": builders.pixels(model)}, ALL)
    assert video.features.dtype == video.keys.dtype == torch.bfloat16
    assert video.deep.dtype == torch.float32


def test_encoding_does_not_change_the_model_even_after_an_error(monkeypatch):
    model = builders.llava_onevision(6, 8)
    inputs = {"pixel_values_videos": builders.pixels(model)}
    models.encode(model, inputs)
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    hooks = [dict(module._forward_hooks) for module in model.modules()]

    def fail(*_, **__):
        raise RuntimeError("stop")

    with monkeypatch.context() as patch:
        patch.setattr("vidfold.models.attention.observing.received", fail)
        with pytest.raises(RuntimeError, match="stop"):
            models.encode(model, inputs, ALL)
    models.encode(model, inputs, ALL)
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before
    assert [dict(module._forward_hooks) for module in model.modules()] == hooks


def test_one_encoding_serves_many_questions():
    model = builders.shared(6, 8)
    pixels = builders.pixels(model)
    videos = models.encode(model, {"pixel_values_videos": pixels})
    reductions = [Identity()(video) for video in videos]
    for words in (2, 5):
        inputs = builders.batch([builders.prompt(model, words=words)])
        with torch.no_grad():
            spliced = model(**models.splice(model, inputs, reductions)).logits
            stock = model(**inputs, pixel_values_videos=pixels).logits
        torch.testing.assert_close(spliced, stock, rtol=0, atol=1e-5)


def test_splice_of_videos_of_unequal_length():
    model = builders.shared(6, 8)
    short, long = builders.prompt(model, frames=1), builders.prompt(model, frames=3, seed=1)
    inputs = builders.batch([short + long[1:], short])
    videos = [
        models.encode(model, {"pixel_values_videos": builders.pixels(model, frames=frames, seed=frames)})[0]
        for frames in (1, 3, 1)
    ]
    reductions = [
        builders.Scattered(builders.scattered(count, full=video.frames * 9))(video)
        for count, video in zip((4, 20, 9), videos, strict=True)
    ]
    spliced = models.splice(model, inputs, reductions)
    placeholders = (spliced["input_ids"] == builders.VIDEO).sum(1)
    assert placeholders.tolist() == [4 + 1 + 20 + 1, 9 + 1]
    with torch.no_grad():
        both = model(**spliced).logits
        alone = model(**models.splice(model, builders.batch([short]), reductions[2:])).logits
    torch.testing.assert_close(both[1, -len(alone[0]) :], alone[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "quoted"),
    [
        ({}, "nothing"),
        ({"pixel_values": torch.zeros(1, 3, 48, 48)}, "pixel_values"),
        ({"pixel_values_videos": torch.zeros(2, 3, 48, 48)}, r"\(2, 3, 48, 48\)"),
        ({"pixel_values_videos": torch.zeros(0, 2, 3, 48, 48)}, r"\(0, 2, 3, 48, 48\)"),
        ({"pixel_values_videos": [torch.zeros(2, 3, 48, 48)]}, "list"),
    ],
)
def test_encode_rejects_bad_input(inputs, quoted):
    with pytest.raises(ValueError, match=quoted):
        models.encode(builders.shared(6, 8), inputs)


def test_error_names_missing_needs():
    with pytest.raises(ValueError, match=r"head_attention.*deep, keys, shallow"):
        models.encode(builders.shared(6, 8), {}, frozenset({"head_attention", "deep"}))


@pytest.mark.parametrize(
    ("inputs", "quoted"),
    [
        ({}, "NoneType"),
        ({"input_ids": torch.ones(5, dtype=torch.long)}, r"\(5,\)"),
        ({"input_ids": torch.ones(1, 5, dtype=torch.long), "logits_to_keep": torch.ones(1)}, "logits_to_keep"),
        ({"input_ids": torch.ones(1, 5, dtype=torch.long)}, r"\[0\] placeholders.*\[19\]"),
    ],
)
def test_splice_rejects_bad_input(inputs, quoted):
    model = builders.shared(6, 8)
    (video,) = models.encode(model, {"pixel_values_videos": builders.pixels(model)})
    with pytest.raises(ValueError, match=quoted):
        models.splice(model, inputs, [Identity()(video)])


@pytest.mark.parametrize("model", [object(), SimpleNamespace(config=SimpleNamespace(model_type="bert"))])
def test_error_for_unsupported_model_lists_supported_ones(model):
    with pytest.raises(ValueError, match="llava_onevision") as error:
        models.family(model)
    assert type(model).__name__ in str(error.value)


def test_a_model_that_takes_no_encoder_outputs_is_refused():
    base = SimpleNamespace(get_video_features=None, vision_tower=None, multi_modal_projector=None)
    config = SimpleNamespace(model_type="llava_onevision")
    model = SimpleNamespace(config=config, base_model=base, forward=lambda input_ids: None)
    with pytest.raises(ValueError, match="takes no mm_encoder_outputs"):
        models.family(model)


def test_unknown_model_class_raises():
    model = SimpleNamespace(config=SimpleNamespace(model_type="llava_onevision"), base_model=object())
    with pytest.raises(ValueError, match="get_video_features"):
        models.family(model)

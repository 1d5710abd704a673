"""Random weights of real architectures, tested at small size."""

import pytest
import torch
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, Qwen2Config, SiglipVisionConfig

from tests.models import qwen2_vl_model
from vidfold import AOT, fold
from vidfold.app.random_models import MODELS, build, from_config, inputs

PAD, IMAGE, VIDEO = 0, 3, 4


def config(tied: bool = True, layers: int = 2, width: int = 32) -> LlavaOnevisionConfig:
    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=layers,
            num_attention_heads=2,
            image_size=62,
            patch_size=8,
            vision_use_head=False,
        ),
        text_config=Qwen2Config(
            hidden_size=width,
            intermediate_size=48,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=64,
            rope_theta=1e6,
            pad_token_id=PAD,
            tie_word_embeddings=tied,
        ),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=tied,
    )


def small(**settings) -> LlavaOnevisionForConditionalGeneration:
    return from_config(config(), **{"device": "cpu", "dtype": "float32"} | settings)


@pytest.mark.parametrize(("name", "tower", "projector", "text", "head"), [
    # A tower without the 27th layer and the pooling head; the embeddings of 0.5B are also its head.
    ("llava-onevision-0.5b", 397_747_744, 1_836_800, 494_090_112, 0),
    ("llava-onevision-7b", 397_747_744, 16_980_992, 7_070_848_512, 152_128 * 3584),
])  # fmt: skip
def test_real_sizes(name, tower, projector, text, head):
    model = build(name, device="meta")

    def size(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert size(model.model.vision_tower) == tower
    assert size(model.model.multi_modal_projector) == projector
    assert size(model.model.language_model) == text
    newline = model.model.image_newline.numel()
    assert size(model) == tower + projector + text + head + newline
    assert size(model) == {"llava-onevision-0.5b": 893_675_552, "llava-onevision-7b": 8_030_807_584}[name]
    assert len(model.model.vision_tower.encoder.layers) == 26
    assert (model.config.image_token_id, model.config.video_token_id) == (151646, 151647)
    assert len(inputs(model, 32)["input_ids"][0]) == 64 + 32 * 196 + 1


def test_buffers_equal_a_model_built_normally():
    ordinary = dict(LlavaOnevisionForConditionalGeneration(config()).named_buffers())
    ours = dict(small(dtype="bfloat16").named_buffers())
    assert ours.keys() == ordinary.keys()
    assert any("inv_freq" in name for name in ours)
    assert any("position_ids" in name for name in ours)
    for name, buffer in ours.items():
        torch.testing.assert_close(buffer, ordinary[name], rtol=0, atol=0)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_equal_a_model_built_normally(tied):
    ordinary = LlavaOnevisionForConditionalGeneration(config(tied))
    ours = from_config(config(tied), device="cpu", dtype="bfloat16")
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in ordinary.named_parameters()}
    assert (ours.lm_head.weight is ours.model.language_model.embed_tokens.weight) == tied
    assert not ours.training


def test_weights_are_finite_and_scaled_by_fan_in():
    model = small()
    for name, weight in model.named_parameters():
        assert torch.isfinite(weight).all()
        if weight.ndim > 1:
            assert weight.std().item() == pytest.approx(weight[0].numel() ** -0.5, rel=0.15)
            assert len(weight.unique(dim=0)) == len(weight)
        elif "norm" in name:
            assert torch.equal(weight, torch.full_like(weight, float(name.endswith("weight"))))


def test_layers_differ():
    first, second = (layer.self_attn for layer in small().model.language_model.layers)
    weights = [first.q_proj, first.o_proj, second.q_proj, second.o_proj]
    assert len({weight.weight.sum().item() for weight in weights}) == len(weights)


def test_seed_determines_weights():
    def state(seed):
        return torch.cat([weight.flatten() for weight in small(seed=seed).parameters()])

    assert torch.equal(state(1), state(1))
    assert not torch.equal(state(1), state(2))
    state_before = torch.get_rng_state()
    small()
    assert torch.equal(torch.get_rng_state(), state_before)


@pytest.mark.parametrize(("dtype", "attention"), [("float32", "eager"), ("bfloat16", "sdpa")])
def test_deep_model_generates_finite_logits_of_requested_length(dtype, attention):
    model = from_config(config(layers=28), device="cpu", dtype=dtype, attention=attention)
    assert model.config.text_config._attn_implementation == attention
    call = inputs(model, frames=3, batch=2, text=5)
    with torch.no_grad():
        assert torch.isfinite(model(**call).logits).all()
        answer = model.generate(**call, max_new_tokens=6, do_sample=False)
    assert answer.shape == (2, call["input_ids"].shape[1] + 6)
    with fold(model, AOT.paper(retention=0.25)):
        assert model.generate(**call, max_new_tokens=2, do_sample=False).shape[0] == 2


def test_inputs():
    model = small(dtype="bfloat16")
    call = inputs(model, frames=3, batch=2, text=7, seed=4)
    assert call["pixel_values_videos"].shape == (2, 3, 3, 62, 62)
    assert call["pixel_values_videos"].dtype == torch.bfloat16
    ids = call["input_ids"]
    assert ids.shape == call["attention_mask"].shape == (2, 7 + 3 * 16 + 1)
    assert call["attention_mask"].all()
    assert ((ids == VIDEO).sum(1) == 3 * 16 + 1).all()
    assert not torch.isin(ids, torch.tensor([PAD, IMAGE])).any()
    assert all(torch.equal(value, inputs(model, 3, 2, 7, 4)[name]) for name, value in call.items())
    assert not torch.equal(ids, inputs(model, 3, 2, 7, 5)["input_ids"])


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"unknown model 'llava'; there are: llava-onevision-0.5b, llava-onevision-7b"):
        build("llava")
    with pytest.raises(ValueError, match="dtype must name a floating torch dtype, such as 'bfloat16', got 'int64'"):
        small(dtype="int64")
    with pytest.raises(ValueError, match="frames must be a whole number of at least 1, got 0"):
        inputs(small(), frames=0)
    assert set(MODELS) == {"llava-onevision-0.5b", "llava-onevision-7b"}
    with pytest.raises(ValueError, match="random inputs are for llava_onevision only, got qwen2_vl"):
        inputs(qwen2_vl_model.build(), frames=1)

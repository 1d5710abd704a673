import sys
import threading
from functools import partial

import pytest
import torch
from transformers import InternVLVisionConfig, Qwen2Config, Qwen2Model
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.internvl.modeling_internvl import InternVLVisionModel
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from tests.models import builders
from vidfold.models.attention.observing import layer_index, observe


def tower_and_frames(attention, side=27, **settings):
    model = builders.shared(side, 14 if side == 27 else 8, attention=attention, **settings)
    return model.model.vision_tower, builders.pixels(model, frames=3)[0]


def attentions(tower):
    return [layer.self_attn for layer in tower.encoder.layers]


def observed(tower, frames, layers):
    sums = {layer: [] for layer in layers}

    def note(layer):
        return lambda attended: sums[layer].append(attended.received())

    with torch.no_grad(), observe([(attentions(tower)[layer], note(layer)) for layer in layers]):
        output = tower(frames).last_hidden_state
    return sums, output


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_observed_attention_equals_eager_and_output_is_unchanged(attention):
    tower, frames = tower_and_frames(attention)
    with torch.no_grad():
        plain = tower(frames).last_hidden_state
    sums, output = observed(tower, frames, [1, -2])
    assert torch.equal(output, plain)
    eager, _ = tower_and_frames("eager")
    with torch.no_grad():
        matrices = eager(frames, output_attentions=True).attentions
    for layer, (result,) in sums.items():
        expected = matrices[layer].double().sum(2).mean(1)
        torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=0)


def intern_tower(attention):
    config = InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[112, 112],
        patch_size=[14, 14],
        use_qk_norm=True,
    )
    tower = InternVLVisionModel._from_config(config, attn_implementation=attention)
    return tower, [layer.attention for layer in tower.encoder.layer], {"pixel_values": torch.randn(2, 3, 112, 112)}


def qwen_tower(model, config, attention):
    tower = model._from_config(config, attn_implementation=attention)
    channels = 3 * config.temporal_patch_size * config.patch_size**2
    inputs = {"hidden_states": torch.randn(2 * 4 * 6, channels), "grid_thw": torch.tensor([[2, 4, 6]])}
    return tower, [block.attn for block in tower.blocks], inputs


QWEN = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32}
TOWERS = {
    "internvl": intern_tower,
    "qwen2_5_vl": partial(
        qwen_tower,
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLVisionConfig(**QWEN, window_size=112, fullatt_block_indexes=[1]),
    ),
    "qwen3_vl": partial(qwen_tower, Qwen3VLVisionModel, Qwen3VLVisionConfig(**QWEN, deepstack_visual_indexes=[0])),
}


@pytest.mark.parametrize("family", TOWERS)
def test_queries_and_keys_of_other_towers(family, monkeypatch):
    torch.manual_seed(0)
    tower, modules, inputs = TOWERS[family]("eager")
    tower.eval()
    source = sys.modules[type(modules[1]).__module__]
    stock, weights, sums = source.eager_attention_forward, [], []

    def attend(module, *args, **settings):
        output, matrix = stock(module, *args, **settings)
        weights.append(matrix)
        return output, matrix

    monkeypatch.setattr(source, "eager_attention_forward", attend)
    with torch.no_grad():
        plain = tower(**inputs).last_hidden_state
        weights = []
        with observe([(modules[1], lambda attended: sums.append(attended.received()))]):
            assert torch.equal(tower(**inputs).last_hidden_state, plain)
        tower.set_attn_implementation("sdpa")
        with observe([(modules[1], lambda attended: sums.append(attended.received()))]):
            tower(**inputs)
    expected = torch.cat(weights[len(weights) // 2 :]).sum(2).mean(1)
    eager, sdpa = torch.cat(sums).chunk(2)
    torch.testing.assert_close(eager, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(sdpa, expected, rtol=1e-4, atol=0)


def test_a_module_may_be_observed_twice():
    tower, frames = tower_and_frames("sdpa", side=6)
    seen = []
    with torch.no_grad(), observe([(attentions(tower)[0], lambda *_: seen.append(True))] * 2):
        tower(frames)
    assert len(seen) == 2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_state_remains_even_after_an_error(attention):
    tower, frames = tower_and_frames(attention, side=6)
    module = attentions(tower)[0]
    config, registry, keys = module.config, dict(ALL_ATTENTION_FUNCTIONS), set(module.__dict__)

    def fail(*_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), observe([(module, fail)]):
        tower(frames)
    assert module.config is config
    assert dict(ALL_ATTENTION_FUNCTIONS) == registry
    assert set(module.__dict__) == keys
    tower(frames)


def test_other_models_and_threads_are_not_observed():
    tower, frames = tower_and_frames("sdpa", side=6)
    other = builders.llava_onevision(6, 8, seed=1).model.vision_tower
    other.config = tower.config
    for module in attentions(other):
        module.config = tower.config
    seen = []
    module = attentions(tower)[0]
    names = []
    with torch.no_grad(), observe([(module, lambda *_: seen.append(True))]):
        other(frames)
        for call in (lambda: tower(frames), lambda: names.append(module.config._attn_implementation)):
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
        assert names == ["sdpa"]
        assert not seen
        tower(frames)
    assert seen == [True]


def test_threads_observe_one_tower_independently():
    tower, frames = tower_and_frames("sdpa", side=6)
    alone = [observed(tower, frames[i : i + 1], [1])[0][1][0] for i in range(3)]
    together = {}

    def run(i):
        for _ in range(5):
            together[i] = observed(tower, frames[i : i + 1], [1])[0][1]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(3):
        (result,) = together[i]
        assert torch.equal(result, alone[i])


def test_towers_are_observed_in_parallel():
    towers = [tower_and_frames("sdpa", side=6)[0], builders.llava_onevision(6, 8, seed=1).model.vision_tower]
    done = threading.Event()

    def run():
        with observe([(attentions(towers[1])[0], lambda _: None)]):
            done.set()

    thread = threading.Thread(target=run)
    with observe([(attentions(towers[0])[0], lambda _: None)]):
        thread.start()
        assert done.wait(10)
    thread.join()


def test_threads_with_different_module_order_do_not_deadlock():
    modules = attentions(tower_and_frames("sdpa", side=6)[0])[:2]

    def run(order):
        for _ in range(200):
            with observe([(module, lambda _: None) for module in order]):
                pass

    threads = [threading.Thread(target=run, args=(order,), daemon=True) for order in (modules, modules[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_attention_function_gets_the_original_module(monkeypatch):
    # Flash attention reads the name of its implementation from the module.
    tower, frames = tower_and_frames("sdpa", side=6)
    names = []
    stock = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def note(module, *args, **settings):
        names.append(module.config._attn_implementation)
        return stock(module, *args, **settings)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "sdpa", note)
    observed(tower, frames, [0, 1])
    assert set(names) == {"sdpa"}


def test_unregistered_attention_module_raises():
    with pytest.raises(ValueError, match="Linear"), observe([(torch.nn.Linear(2, 2), lambda *_: None)]):
        pass


def matrices_of(tower, inputs):
    with torch.no_grad():
        return tower(**inputs, output_attentions=True).attentions


@pytest.mark.parametrize("layer", [0, 1], ids=["windows", "frames"])
def test_windows_in_one_call_or_separate_calls(layer, monkeypatch):
    torch.manual_seed(0)
    tower, modules, inputs = TOWERS["qwen2_5_vl"]("sdpa")
    # A grid of 10 x 6 cells in windows of 8 x 8: of two lengths in every frame.
    inputs = {"hidden_states": torch.randn(2 * 10 * 6, inputs["hidden_states"].shape[1])}
    inputs["grid_thw"] = torch.tensor([[2, 10, 6]])
    chunks, packed = [], []

    def flash(module, query, key, value, attention_mask, cu_seq_lens_q, cu_seq_lens_k, **settings):
        parts = [each.split(cu_seq_lens_q.diff().tolist(), 2) for each in (query, key, value)]
        outputs = [
            torch.nn.functional.scaled_dot_product_attention(*part, scale=settings["scaling"])
            for part in zip(*parts, strict=True)
        ]
        return torch.cat(outputs, 2).transpose(1, 2), None

    with torch.no_grad():
        with observe([(modules[layer], lambda attended: chunks.append(attended.received()))]):
            tower(**inputs)
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "flash_by_hand", flash)
        monkeypatch.setattr(tower.config, "_attn_implementation", "flash_by_hand")
        with observe([(modules[layer], packed.append)]):
            tower(**inputs)
    (attended,) = packed
    assert attended.lengths.tolist() == [each.shape[1] for each in chunks]
    assert len(chunks) == (4 if layer == 0 else 2)
    torch.testing.assert_close(attended.received(), torch.cat(chunks, 1), rtol=1e-4, atol=0)


def language_model(attention):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=20,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return Qwen2Model._from_config(config, attn_implementation=attention).eval()


def test_unknown_attention_settings_raise():
    model = language_model("sdpa")
    ids = torch.arange(9)[None]
    with pytest.raises(ValueError, match=r"Qwen2Attention.*is_causal"), torch.no_grad():  # noqa: SIM117
        with observe([(model.layers[1].self_attn, lambda _: None)]):
            model(ids)
    module = attentions(tower_and_frames("sdpa", side=6)[0])[0]
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
    tensors = [torch.zeros(1, 2, 36, 16)] * 3
    for extra in ({"softcap": 3.0}, {"attention_mask": torch.ones(1, 1, 36, 36)}):
        with observe([(module, lambda _: None)]), pytest.raises(ValueError, match=next(iter(extra))):
            ALL_ATTENTION_FUNCTIONS[module.config._attn_implementation](
                module, *tensors, **{"attention_mask": None} | extra
            )
    assert attend is ALL_ATTENTION_FUNCTIONS["sdpa"]


@pytest.mark.parametrize(("index", "depth", "position"), [(0, 4, 0), (3, 4, 3), (-1, 4, 3), (-4, 4, 0)])
def test_layer_index(index, depth, position):
    assert layer_index("deep_layer", index, depth) == position


@pytest.mark.parametrize("index", [4, -5, 1.0, True, None])
def test_bad_layer_index_raises(index):
    with pytest.raises(ValueError, match="deep_layer"):
        layer_index("deep_layer", index, 4)

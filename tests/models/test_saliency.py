import sys
import threading
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import InternVLVisionConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.internvl.modeling_internvl import InternVLVisionModel
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from tests.models import builders
from vidfold.models.saliency import layer_index, observe, received


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


def queries_and_keys(frames=3, heads=4, queries=50, keys=50, channels=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = (frames, heads, queries, channels), (frames, heads, keys, channels)
    return tuple(2 * torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)


def by_matrix(query, key, scale):
    return (query.double() @ key.double().transpose(-1, -2) * scale).softmax(-1).sum(2).mean(1)


@pytest.mark.parametrize("block", [None, 1, 49, 2500, 7000, 10**9])
def test_received_is_the_column_sum_whatever_the_block(block):
    query, key = queries_and_keys()
    torch.testing.assert_close(
        received(query, key, 0.3, block=block).double(), by_matrix(query, key, 0.3), rtol=1e-5, atol=0
    )


def test_received_of_fewer_queries_than_keys():
    query, key = queries_and_keys(queries=7)
    result = received(query, key)
    torch.testing.assert_close(result.double(), by_matrix(query, key, 8**-0.5), rtol=1e-5, atol=0)
    torch.testing.assert_close(result.sum(1), torch.full((3,), 7.0))


def test_received_computes_half_precision_in_float32():
    query, key = queries_and_keys(dtype=torch.bfloat16)
    result = received(query, key)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), by_matrix(query, key, 8**-0.5), rtol=1e-5, atol=0)


def test_received_makes_nothing_larger_than_the_block():
    query, key = queries_and_keys(frames=16, queries=200, keys=200)
    with Largest() as largest:
        received(query, key, block=30_000)
    assert largest.elements <= max(30_000, query.numel()) < 16 * 200 * 200


@pytest.mark.parametrize(
    ("shapes", "settings", "quoted"),
    [
        (((2, 4, 5, 8), (2, 2, 5, 8)), {}, r"\(2, 2, 5, 8\)"),
        (((2, 4, 5), (2, 4, 5)), {}, r"\(2, 4, 5\)"),
        (((2, 4, 5, 8), (2, 4, 5, 8)), {"block": 0}, "got 0"),
    ],
)
def test_received_refuses(shapes, settings, quoted):
    with pytest.raises(ValueError, match=quoted):
        received(*map(torch.zeros, shapes), **settings)


def tower_and_frames(attention, side=27, **settings):
    model = builders.shared(side, 14 if side == 27 else 8, attention=attention, **settings)
    return model.model.vision_tower, builders.pixels(model, frames=3)[0]


def attentions(tower):
    return [layer.self_attn for layer in tower.encoder.layers]


def observed(tower, frames, layers):
    sums = {layer: [] for layer in layers}

    def note(layer):
        return lambda query, key, scale: sums[layer].append(received(query, key, scale))

    with torch.no_grad(), observe([(attentions(tower)[layer], note(layer)) for layer in layers]):
        output = tower(frames).last_hidden_state
    return sums, output


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_observed_layers_equal_eager_attentions_and_change_no_output(attention):
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
def test_other_towers_show_the_queries_and_keys_they_attend_with(family, monkeypatch):
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
        with observe([(modules[1], lambda *seen: sums.append(received(*seen)))]):
            assert torch.equal(tower(**inputs).last_hidden_state, plain)
        tower.set_attn_implementation("sdpa")
        with observe([(modules[1], lambda *seen: sums.append(received(*seen)))]):
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
def test_nothing_is_left_behind_even_after_an_error(attention):
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


def test_another_model_and_another_thread_are_not_seen():
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


def test_threads_observing_one_tower_each_see_their_own():
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


def test_the_attention_function_is_handed_the_module_as_it_was(monkeypatch):
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


def test_a_module_outside_the_registry_is_refused():
    with pytest.raises(ValueError, match="Linear"), observe([(torch.nn.Linear(2, 2), lambda *_: None)]):
        pass


def test_an_attention_mask_is_refused():
    tower, _ = tower_and_frames("sdpa", side=6)
    module = attentions(tower)[0]
    hidden = torch.zeros(1, 36, 32)
    with pytest.raises(ValueError, match="mask"), observe([(module, lambda *_: None)]):
        module(hidden, attention_mask=torch.zeros(1, 1, 36, 36))


@pytest.mark.parametrize(("index", "depth", "position"), [(0, 4, 0), (3, 4, 3), (-1, 4, 3), (-4, 4, 0)])
def test_layer_index(index, depth, position):
    assert layer_index("deep_layer", index, depth) == position


@pytest.mark.parametrize("index", [4, -5, 1.0, True, None])
def test_layer_index_refuses(index):
    with pytest.raises(ValueError, match="deep_layer"):
        layer_index("deep_layer", index, 4)

import copy
from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from tests.folding.calls import GREEDY, row, shape_of, two_rows
from tests.models import builders, oracles
from vidfold import Identity, models
from vidfold.drops import Drop
from vidfold.models.cache import cache_of
from vidfold.models.inner.dropper import Dropper, decoder_layers
from vidfold.models.inner.run import Run

HALF = (Drop(2, 0.5, scorer=1),)
PYRAMID = (Drop(1, 0.5, 1), Drop(2, 0.3, 2), Drop(3, 0.1, 3))


@pytest.fixture(scope="module")
def model():
    """A 6x6 grid, 9 tokens a frame, and a language model of four layers."""
    return builders.shared(6, 8, layers=4)


def spliced(model, inputs):
    """The inputs with their videos encoded, and the reductions."""
    family = models.family(model)
    videos = [Identity()(video) for video in family.encode(inputs)]
    return family, family.splice(inputs, videos), videos


def run_of(model, dropper, inputs):
    family, short, videos = spliced(model, inputs)
    places = family.places(short)
    return short, Run.of(places, short["attention_mask"], videos, family.closing, dropper.drops)


def test_states_rotary_embeddings_positions_mask_and_cache_are_shorter_after_the_drop(model):
    seen = []

    def look(_, args, kwargs):
        cos, sin = kwargs["position_embeddings"]
        mask, cache = kwargs["attention_mask"], cache_of(kwargs)
        positions = kwargs["position_ids"]
        sizes = {args[0].shape[1], cos.shape[1], sin.shape[1], positions.shape[1], *mask.shape[2:]}
        seen.append((sizes, positions, cache))

    dropper = Dropper(model, HALF)
    hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in decoder_layers(model)]
    try:
        inputs = two_rows(model)
        short, run = run_of(model, dropper, inputs)
        with torch.no_grad(), dropper.reading(run):
            output = model(**short)
    finally:
        dropper.remove()
        for hook in hooks:
            hook.remove()
    length = inputs["input_ids"].shape[1]
    assert [sizes for sizes, _, _ in seen] == [{length}, {length}, {length - 9}, {length - 9}]
    assert output.logits.shape[1] == length - 9
    assert [layer.keys.shape[2] for layer in output.past_key_values.layers] == [length, length, length - 9, length - 9]
    stage = run.stages[2]
    assert torch.equal(seen[3][1], stage.columns), "kept tokens have other positions than before"
    for number in range(2):
        columns = stage.columns[number][run.real(stage)[number]]
        assert torch.equal(columns, columns.sort().values)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("drops", [HALF, PYRAMID, (Drop(3, 0.4, 1),)], ids=["after 2", "pyramid", "ranked early"])
def test_dropping_equals_masking_in_all_later_layers(attention, drops):
    model = builders.shared(6, 8, layers=4, attention=attention)
    inputs = two_rows(model)
    dropper = Dropper(model, drops)
    try:
        short, run = run_of(model, dropper, inputs)
        with torch.no_grad(), dropper.reading(run):
            output = model(**short)
    finally:
        dropper.remove()
    eager = builders.shared(6, 8, layers=4, attention="eager")
    last = inputs["input_ids"].shape[1] - 1
    keys = oracles.visible_keys(eager, inputs, drops, [last, last])
    for layer, stage in run.stages.items():
        columns = [stage.columns[number][run.real(stage)[number]] for number in range(2)]
        assert all(torch.equal(columns[number], keys[layer][number].nonzero()[:, 0]) for number in range(2))
    with torch.no_grad(), oracles.masked(eager, keys):
        expected = eager(**inputs).logits
    for number in range(2):
        mine = output.logits[number][run.real(stage)[number]]
        torch.testing.assert_close(mine, expected[number][keys[-1][number]], rtol=0, atol=1e-4)


def test_only_announced_calls_are_shortened(model):
    inputs = row(model, 0)
    with torch.no_grad():
        stock = model(**inputs).logits
    dropper = Dropper(model, HALF)
    try:
        short, run = run_of(model, dropper, inputs)
        with torch.no_grad():
            assert torch.equal(model(**inputs).logits, stock)
            with dropper.reading(run):
                assert model(**short).logits.shape[1] == stock.shape[1] - 9
            assert torch.equal(model(**inputs).logits, stock)
            assert not dropper.active
    finally:
        dropper.remove()


def test_failed_call_leaves_no_state():
    model = builders.llava_onevision(6, 8, layers=4)
    inputs = row(model, 0)
    model.generate(**inputs, **GREEDY)  # transformers sets hooks of its own once
    before = shape_of(model)
    with torch.no_grad():
        stock = model(**inputs).logits
    dropper = Dropper(model, HALF)

    def fail(*_):
        raise RuntimeError("stop")

    broken = decoder_layers(model)[3].register_forward_pre_hook(fail)
    short, run = run_of(model, dropper, inputs)
    with pytest.raises(RuntimeError, match="stop"), dropper.reading(run):
        model(**short)
    with pytest.raises(RuntimeError, match="stop"), dropper.reading(run):
        model.generate(**short, **GREEDY)
    broken.remove()
    assert not dropper.active
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, stock)
    dropper.remove()
    dropper.remove()
    assert shape_of(model) == before


def test_a_copy_of_a_cache_is_continued_as_the_cache(model):
    """Rows of unequal length, so that later layers need masks of their own."""
    token = torch.tensor([[20], [21]])
    dropper = Dropper(model, HALF)
    try:
        short, run = run_of(model, dropper, two_rows(model))
        with torch.no_grad():
            with dropper.reading(run):
                cache = model(**short).past_key_values
            mask = torch.cat([short["attention_mask"], torch.ones_like(token)], 1)
            other = copy.deepcopy(cache)
            expected = model(input_ids=token, attention_mask=mask, past_key_values=cache).logits
            assert torch.equal(model(input_ids=token, attention_mask=mask, past_key_values=other).logits, expected)
    finally:
        dropper.remove()


@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_that_run_a_second_time_drop_what_they_dropped_before(model, monkeypatch, reentrant):
    """As gradient checkpointing does where it runs a layer with its hooks."""
    model = copy.deepcopy(model).train()
    inputs = two_rows(model)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)
    dropper = Dropper(model, PYRAMID)

    def gradients():
        model.zero_grad()
        short, run = run_of(model, dropper, inputs)
        dropper.forward(model, run, short | {"labels": labels, "use_cache": False}).loss.backward()
        return [each.grad for each in decoder_layers(model).parameters()]

    def checkpointed(layer, *args, **kwargs):
        return checkpoint(partial(torch.nn.Module.__call__, layer, **kwargs), *args, use_reentrant=reentrant)

    expected = gradients()
    monkeypatch.setattr(type(decoder_layers(model)[0]), "__call__", checkpointed)
    found = gradients()
    dropper.remove()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_unknown_language_model_raises():
    model = builders.llava_onevision(6, 8, layers=4)
    hooks = [dict(module._forward_pre_hooks) for module in model.modules()]
    model.get_decoder().config.layer_types = ["full_attention"] * 2 + ["sliding_attention"] * 2
    with pytest.raises(ValueError, match="from 2 on have sliding_attention"):
        Dropper(model, HALF)
    model.get_decoder().config.layer_types = ["full_attention"] * 4
    attention, decoder_layers(model)[1].self_attn = decoder_layers(model)[1].self_attn, torch.nn.Identity()
    with pytest.raises(ValueError, match="Qwen2DecoderLayer has no apply_rotary_pos_emb, q_proj, k_proj"):
        Dropper(model, HALF)
    decoder_layers(model)[1].self_attn = attention
    assert [dict(module._forward_pre_hooks) for module in model.modules()] == hooks
    model.get_decoder = lambda: model.lm_head
    with pytest.raises(ValueError, match="Linear has no layers"):
        Dropper(model, HALF)

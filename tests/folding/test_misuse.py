"""Models and calls that `fold` cannot serve, and what is done to a folded model from outside."""

import copy
import pickle

import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM

from tests.folding.calls import GREEDY, row, shape_of
from tests.models import builders
from vidfold import Identity, Random, fold
from vidfold.models import FAMILIES
from vidfold.reducers import FastV, PyramidDrop
from vidfold.versions import UntestedVersion

METHODS = [Random(retention=0.3), FastV(retention=0.3, layer=1)]
methods = pytest.mark.parametrize("method", METHODS, ids=repr)


@pytest.fixture
def model():
    return builders.llava_onevision(6, 8, layers=3)


def test_error_for_unsupported_model_lists_the_families():
    config = Qwen2Config(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=8)
    with pytest.raises(ValueError, match=r"Qwen2ForCausalLM with model_type 'qwen2'") as error:
        fold(Qwen2ForCausalLM(config), Identity())
    assert all(name in str(error.value) for name in FAMILIES)


@pytest.mark.parametrize("nothing", [None, "llava_onevision", object()], ids=["none", "a name", "an object"])
def test_non_model_raises(nothing):
    with pytest.raises(ValueError, match=r"no supported model.*llava_onevision"):
        fold(nothing, Identity())


def test_older_transformers_raises(model, monkeypatch):
    monkeypatch.setattr("transformers.__version__", "5.18.1")
    with pytest.raises(ValueError, match=r"transformers 5\.18\.1 is too old"):
        fold(model, Identity())


def test_newer_transformers_gives_a_warning(model, monkeypatch):
    monkeypatch.setattr("transformers.__version__", "6.0.0rc1")
    with pytest.warns(UntestedVersion, match=r"transformers 6\.0\.0rc1 is untested"):
        fold(model, Identity()).remove()


@methods
def test_a_prompt_without_a_place_for_its_video(model, method):
    inputs = row(model, 0) | {"input_ids": torch.tensor([[1, 20, 21]]), "attention_mask": torch.ones(1, 3).long()}
    with fold(model, method):
        for call in (lambda: model.generate(**inputs, **GREEDY), lambda: model(**inputs)):
            with pytest.raises(ValueError, match=r"\[0\] placeholders.*need \[19\]"):
                call()


@methods
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deep", "pickled"]
)
def test_copies_of_a_folded_model_are_unfolded(model, method, copied):
    inputs = row(model, 0)
    stock = builders.llava_onevision(6, 8, layers=3).generate(**inputs, **GREEDY)
    with fold(model, method) as folded:
        other = copied(model)  # at first, since no transformers model can be pickled once it has run
        answer = model.generate(**inputs, **GREEDY)
        report = folded.last
        assert torch.equal(other.generate(**inputs, **GREEDY), stock)
        with torch.no_grad():
            assert other(**inputs).logits.shape[1] == inputs["input_ids"].shape[1]
        assert folded.last is report
        assert torch.equal(model.generate(**inputs, **GREEDY), answer)
        with fold(other, PyramidDrop(layers=(1,))) as second:
            other.generate(**inputs, **GREEDY)
            assert second.last.layers == (18, 9, 9)
    assert torch.equal(other.generate(**inputs, **GREEDY), stock)
    assert torch.equal(model.generate(**inputs, **GREEDY), stock)


@methods
def test_saving_a_folded_model(model, method, tmp_path):
    inputs = row(model, 0)
    stock = model.generate(**inputs, **GREEDY)
    with fold(model, method) as folded:
        model.save_pretrained(tmp_path)
        model.generate(**inputs, **GREEDY)
        assert len(folded.last.reductions) == 1
        state = model.state_dict()
    other = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(other.generate(**inputs, **GREEDY), stock)
    assert state.keys() == model.state_dict().keys()


@methods
def test_an_error_inside_generate(model, method):
    inputs = row(model, 0)
    model.generate(**inputs, **GREEDY)  # transformers sets hooks of its own once
    before = shape_of(model)

    def fail(*_):
        raise RuntimeError("stop")

    with fold(model, method) as folded:
        answer = model.generate(**inputs, **GREEDY)
        for call in (
            lambda: model.generate(**inputs, **GREEDY, logits_processor=[fail]),
            lambda: model.generate(**inputs, **GREEDY, stopping_criteria=[fail]),
        ):
            with pytest.raises(RuntimeError, match="stop"):
                call()
        hook = model.lm_head.register_forward_hook(fail)
        for call in (lambda: model.generate(**inputs, **GREEDY), lambda: model(**inputs)):
            with pytest.raises(RuntimeError, match="stop"):
                call()
        hook.remove()
        assert torch.equal(model.generate(**inputs, **GREEDY), answer)
        text = model.generate(**builders.batch([[1, 20, 21]]), **GREEDY)
        assert folded.last.reductions == ()
    assert shape_of(model) == before
    assert torch.equal(model.generate(**builders.batch([[1, 20, 21]]), **GREEDY), text)

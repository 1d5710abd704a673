"""The handle of a folded model, and what it leaves unchanged."""

import copy
import threading

import pytest
import torch

from tests.folding.calls import FULL, GREEDY, row, shape_of, two_rows
from tests.models import builders
from vidfold import AOT, Identity, Random, Reduction
from vidfold.folding import fold
from vidfold.models import LlavaOnevision
from vidfold.reducers import FastV, ToMe


def test_model_is_unchanged():
    model = builders.llava_onevision(6, 8)
    inputs = two_rows(model)
    model.generate(**inputs, **GREEDY)  # transformers sets hooks of its own once
    before, config = shape_of(model), copy.deepcopy(model.config)
    with fold(model, Random(retention=0.3)):
        model.generate(**inputs, **GREEDY)
        model(**inputs)
    assert shape_of(model) == before
    assert "generate" not in model.__dict__

    def fail(_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), fold(model, fail):
        model.generate(**inputs, **GREEDY)
    assert shape_of(model) == before
    assert model.config.to_dict() == config.to_dict()
    assert model.config._attn_implementation == config._attn_implementation


@pytest.mark.parametrize(("short", "method"), [(0.25, AOT(retention=0.25)), ("tome", ToMe())])
def test_a_method_in_short(small, short, method):
    with fold(small, short) as folded:
        assert folded.reducer == method


def test_a_handle_says_what_it_does(small):
    with fold(small, Random(retention=0.25)) as folded:
        assert repr(folded).startswith("Folded(LlavaOnevisionForConditionalGeneration, Random(retention=0.25")
        small(**row(small, 0))
    assert ", removed, last call: tokens 18 -> 5 (27.8 %)" in repr(folded)
    assert repr(folded.last).startswith("Report(tokens 18 -> 5 (27.8 %)")


def test_remove_twice(small):
    inputs = row(small, 0)
    stock = small.generate(**inputs, **GREEDY, **FULL)
    handle = fold(small, Random(retention=0.3))
    small.generate(**inputs, **GREEDY)
    assert handle.last.after == (5,)
    handle.remove()
    handle.remove()
    again = small.generate(**inputs, **GREEDY, **FULL)
    assert torch.equal(again.logits[0], stock.logits[0])
    with fold(small, Identity()) as second:
        handle.remove()
        small.generate(**inputs, **GREEDY)
    assert second.last.after == (18,)


def test_a_with_block_folds_again(small):
    inputs = row(small, 0)
    handle = fold(small, Random(retention=0.3))
    for _ in range(2):
        with handle as entered, torch.no_grad():
            assert entered is handle
            assert small(**inputs).logits.shape[1] == handle.last.prompt_after < inputs["input_ids"].shape[1]
            with pytest.raises(ValueError, match="in a with block already"), handle:
                pass
            small.generate(**inputs, **GREEDY)
            assert handle.last.after == (5,)
        assert not {"generate", "forward"} & vars(small).keys()
    with fold(small, Identity()), pytest.raises(ValueError, match="already folded by Identity"), handle:
        pass
    handle.remove()
    with handle:
        small.generate(**inputs, **GREEDY)
        assert handle.last.after == (5,)
    with torch.no_grad():
        assert small(**inputs).logits.shape[1] == inputs["input_ids"].shape[1]


@pytest.mark.parametrize("method", [Random(retention=0.3), FastV(retention=0.3, layer=1)], ids=["outside", "inside"])
def test_a_method_inside_the_model_is_set_up_again_too(small, method):
    inputs = two_rows(small)
    handle = fold(small, method)
    answers = []
    for _ in range(2):
        with handle:
            answers.append(small.generate(**inputs, **GREEDY, **FULL))
    assert torch.equal(*(torch.stack(each.logits) for each in answers))
    assert not any(module._forward_pre_hooks for module in small.model.modules())


def test_earlier_wrapper_is_restored_and_later_one_stays(small):
    class Wrapper:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, *args, **kwargs):
            return self.inner(*args, **kwargs)

    model = copy.deepcopy(small)
    inputs = row(model, 0)
    earlier = Wrapper(model.generate)
    model.generate = earlier
    with fold(model, Random(retention=0.3)):
        model.generate(**inputs, **GREEDY)
    assert model.generate is earlier
    handle = fold(model, Random(retention=0.3))
    later = model.generate = Wrapper(model.generate)
    model.generate(**inputs, **GREEDY)
    with pytest.raises(ValueError, match="already folded"):
        fold(model, Identity())
    report = handle.last
    handle.remove()
    assert model.generate is later
    model.generate(**inputs, **GREEDY)
    assert handle.last is report


def test_second_model_is_unaffected(small):
    other = copy.deepcopy(small)
    other.config = small.config
    inputs = two_rows(small)
    stock = other.generate(**inputs, **GREEDY, **FULL)
    before = shape_of(other)
    results = []
    with fold(small, Random(retention=0.2)) as folded:
        threads = [
            threading.Thread(target=lambda: results.append(other.generate(**inputs, **GREEDY, **FULL)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        small.generate(**inputs, **GREEDY)
        for thread in threads:
            thread.join()
        assert type(small).generate is type(other).generate
        assert folded.last.after == (4, 4)
    for result in results:
        assert torch.equal(result.logits[0], stock.logits[0])
    assert len(results) == 2
    assert shape_of(other) == before


def test_the_report_times_every_stage(small):
    with fold(small, Random(retention=0.3)) as folded:
        assert folded.last is None
        small.generate(**two_rows(small), **GREEDY)
    assert list(folded.last.milliseconds) == ["encode", "fold", "splice"]
    assert str(folded.last).startswith("tokens 36 -> 10 (27.8 %) | encode ")
    assert all(isinstance(each, Reduction) for each in folded.last.reductions)


def test_function_as_reducer(small):
    with fold(small, lambda tokens: Random(retention=0.5)(tokens)) as folded:
        small.generate(**row(small, 0), **GREEDY)
    assert folded.last.after == (9,)


def test_warning_when_nothing_is_folded(small):
    with fold(small, Random(retention=0.999)), pytest.warns(UserWarning, match=r"0\.999.*all of \(18,\)") as warned:
        small.generate(**row(small, 0), **GREEDY)
    assert warned[0].filename == __file__


def test_threads_with_one_folded_model_give_the_same_answers(small):
    inputs = [row(small, number) for number in range(2)]
    answers = {}

    def run(number):
        for _ in range(3):
            answers[number] = small.generate(**inputs[number], **GREEDY)

    with fold(small, AOT.paper(retention=0.3)):
        alone = [small.generate(**each, **GREEDY) for each in inputs]
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(answers[number], alone[number]) for number in range(2))


def test_errors_at_fold_time(small):
    with pytest.raises(ValueError, match=r"AOT\(tokens=1024\).*got 16"):
        fold(small, 16)
    with pytest.raises(ValueError, match=r"retention must be in \(0, 1\], got 1.5"):
        fold(small, 1.5)
    with pytest.raises(ValueError, match="unknown method 'aott'; did you mean 'aot'"):
        fold(small, "aott")
    with pytest.raises(ValueError, match=r"Linear.*llava_onevision"):
        fold(torch.nn.Linear(2, 2), Identity())
    with pytest.raises(ValueError, match="LlavaOnevisionModel has no generate"):
        fold(small.model, Identity())
    with pytest.raises(ValueError, match="another"):
        fold(small, Identity(), family=LlavaOnevision(builders.shared()))
    with fold(small, Random(retention=0.25)), pytest.raises(ValueError, match=r"already folded by Random.*0\.25"):
        fold(small, Identity())
    needy = type("Needy", (), {"needs": {"head_attention"}, "__call__": lambda self, tokens: None})()
    with pytest.raises(ValueError, match="head_attention"):
        fold(small, needy)
    assert "generate" not in small.__dict__


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        (lambda ids: {"input_ids": ids[:, -3:], "attention_mask": None}, r"\[0\].*\[19\]"),
        (lambda ids: {"input_ids": ids[:, 3:], "attention_mask": None}, r"\[17\].*\[19\]"),
        (lambda ids: {"input_ids": None, "inputs_embeds": torch.zeros(1, 4, 32)}, r"inputs_embeds.*\(1, 4, 32\)"),
        (lambda ids: {"input_ids": None}, "input_ids"),
        (lambda ids: {"mm_encoder_outputs": {"video": object()}}, "mm_encoder_outputs"),
    ],
)
def test_wrong_inputs_raise(small, change, quoted):
    inputs = row(small, 0)
    changed = {name: value for name, value in (inputs | change(inputs["input_ids"])).items() if value is not None}
    with fold(small, Random(retention=0.3)):
        with pytest.raises(ValueError, match=quoted):
            small.generate(**changed, **GREEDY)
        with pytest.raises(ValueError, match=quoted):
            small(**changed)


def test_reducer_with_wrong_return_value_raises(small):
    with fold(small, lambda tokens: tokens.features), pytest.raises(ValueError, match="Tensor"):
        small.generate(**row(small, 0), **GREEDY)

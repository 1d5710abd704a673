"""Models that something else wraps: PEFT, DistributedDataParallel, torch.compile, Accelerate."""

import copy

import pytest
import torch

from tests.folding.calls import GREEDY, row, shape_of, two_rows
from tests.models import builders, qwen2_5_vl_model
from vidfold import Identity, Random, fold, models
from vidfold.reducers import FastV

METHOD = Random(retention=0.3)


@pytest.fixture
def model():
    """The smallest that has all parts."""
    return builders.llava_onevision(6, 8, depth=2)


@torch.no_grad()
def logits(call, inputs):
    return call(**inputs).logits


class Adapted(torch.nn.Module):
    """Holds a model as PEFT does; older versions call its forward, newer ones the model itself."""

    def __init__(self, model, forward):
        super().__init__()
        self.base_model = torch.nn.Module()
        self.base_model.model = model
        self._forward = forward

    def get_base_model(self):
        return self.base_model.model

    def forward(self, **inputs):
        return self.base_model.model.forward(**inputs) if self._forward else self.base_model.model(**inputs)


class Distributed(torch.nn.Module):
    """Holds a model as DistributedDataParallel does."""

    def __init__(self, model):
        super().__init__()
        self.module = model

    def forward(self, **inputs):
        return self.module(**inputs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: Adapted(model, forward=True),
        lambda model: Adapted(model, forward=False),
        Distributed,
        lambda model: Distributed(Adapted(model, forward=False)),
    ],
    ids=["forward of an adapter", "adapter", "distributed", "both"],
)
@pytest.mark.parametrize("method", [METHOD, FastV(retention=0.3, layer=1)], ids=["outside", "inside"])
def test_a_wrapped_model_is_folded(model, wrap, method):
    inputs = two_rows(model)
    labelled = inputs | {"labels": inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)}
    with fold(model, method), torch.no_grad():
        expected = model(**labelled)
    wrapped = wrap(model)
    with fold(wrapped, method) as folded, torch.no_grad():
        assert folded.model is model
        output = wrapped(**labelled)
        assert torch.equal(output.logits, expected.logits)
        assert torch.equal(output.loss, expected.loss)
    assert models.family(wrapped).model is model


def test_data_parallel_is_refused(model):
    with pytest.raises(ValueError, match=r"DataParallel copies the model.*\.module"):
        fold(torch.nn.DataParallel(model), METHOD)


def test_peft(model):
    peft = pytest.importorskip("peft")
    inputs = row(model, 0)
    with fold(model, METHOD):
        expected, answer = logits(model, inputs), model.generate(**inputs, **GREEDY)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "linear_1"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config)
    with fold(adapted, METHOD):
        torch.testing.assert_close(logits(adapted, inputs), expected, rtol=0, atol=1e-5)
        assert torch.equal(adapted.generate(**inputs, **GREEDY), answer)
        adapted(**inputs, labels=inputs["input_ids"]).loss.backward()
    trained = {name: each.grad for name, each in adapted.named_parameters() if each.requires_grad}
    assert all(grad is not None for grad in trained.values())
    for part in ("vision_tower", "multi_modal_projector", "language_model"):
        assert any(grad.abs().sum() > 0 for name, grad in trained.items() if part in name)


def test_a_compiled_model_is_folded_and_folding_is_not_compiled():
    model = builders.llava_onevision(6, 8, depth=1, layers=1)
    inputs = two_rows(model)
    with fold(torch.compile(model), METHOD) as folded:
        assert folded.model is model
        expected = logits(model, inputs)
    traced = []

    def backend(graph, _):
        traced.extend(str(node.meta.get("stack_trace")) for node in graph.graph.nodes)
        return graph.forward

    torch._dynamo.reset()
    model.compile(backend=backend)
    text = builders.batch([builders.prompt(model, videos=0)])
    assert logits(model, text).shape[1] == text["input_ids"].shape[1]
    assert traced
    traced.clear()
    with fold(model, METHOD):
        torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-4)
    assert any("modeling_qwen2" in each for each in traced)
    assert not any(
        part in each for each in traced for part in ("vidfold/reducers", "vidfold/models", "modeling_siglip")
    )


def test_a_decoding_step_of_a_folded_model_compiles_whole():
    model = builders.llava_onevision(6, 8, depth=1, layers=1)
    inputs = row(model, 0)
    handle = fold(model, METHOD)
    with handle, torch.no_grad():
        cache = model(**inputs).past_key_values
        step = {"input_ids": torch.tensor([[20]]), "past_key_values": copy.deepcopy(cache)}
        expected = model(**step).logits
        del cache.folded_prompt  # as in generate, whose cache is nobody else's yet
        torch._dynamo.reset()
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        output = compiled(**step | {"past_key_values": cache}).logits
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("when", ["before", "while folded"])
def test_the_tower_runs_under_the_autocast_that_wraps_the_forward(when):
    """Accelerate's mixed precision: the tower is in half precision in the forward, and not in generate, as unfolded."""
    accelerate = pytest.importorskip("accelerate")
    model = qwen2_5_vl_model.build()
    inputs = qwen2_5_vl_model.inputs(model, prompts=(3,), frames=((2,),))
    settings = {"max_new_tokens": 2, "do_sample": False}
    seen = []
    stock = copy.deepcopy(model)
    model.model.visual.merger.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    stock.model.visual.merger.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    accelerator = accelerate.Accelerator(mixed_precision="bf16", cpu=True)
    try:
        handle = fold(model, Identity()) if when == "while folded" else None
        before = shape_of(model)
        for each in (stock, model):
            accelerator.prepare_model(each, evaluation_mode=True)
        handle = handle or fold(model, Identity())
        found = [logits(each, inputs) for each in (stock, model)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-4)
        answers = [each.generate(**inputs, **settings) for each in (stock, model)]
        assert torch.equal(*answers)
        assert seen[-4:] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
        handle.remove()
        assert torch.equal(logits(model, inputs), found[0])
        assert before.keys() == shape_of(model).keys()
    finally:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def test_weights_that_are_offloaded(model):
    accelerate = pytest.importorskip("accelerate")
    inputs = two_rows(model)
    with fold(model, METHOD):
        expected = logits(model, inputs)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    with fold(model, METHOD):
        assert torch.equal(logits(model, inputs), expected)
        assert torch.equal(logits(model, inputs), expected)
    assert model.model.image_newline.device.type == "meta"

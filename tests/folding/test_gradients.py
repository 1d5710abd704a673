"""Training a folded model: gradients reach the projector and the vision tower."""

import dataclasses
import gc
import warnings
import weakref

import pytest
import torch

from tests.conftest import make_video
from tests.models import builders
from tests.models.matrix import CASES
from vidfold import AOT, Identity, Random, Reduction, fold, models
from vidfold.folding.gradients import with_gradients
from vidfold.reducers import FastV


@pytest.fixture(params=sorted(CASES))
def case(request):
    return CASES[request.param]


def gradients(model, inputs):
    """Of all weights, by name; where there is none, zeros."""
    model.zero_grad()
    inputs = inputs | {"labels": inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)}
    model(**inputs).loss.backward()
    return {name: torch.zeros_like(each) if each.grad is None else each.grad for name, each in model.named_parameters()}


@pytest.mark.parametrize("inner", [False, True], ids=["identity", "fastv"])
def test_keeping_everything_gives_the_gradients_of_the_unfolded_model(case, inner):
    model = case.build()
    first = max(1, models.family(model).side_levels)
    reducer = FastV(retention=1.0, layer=first) if inner else Identity()
    inputs = case.inputs(model, prompts=(3, 8), frames=((2,), (2,)))
    expected = gradients(model, inputs)
    with fold(model, reducer):
        found = gradients(model, inputs)
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("reducer", [AOT(retention=0.3), AOT.paper(retention=0.3), Random(retention=0.3)], ids=repr)
def test_tokens_are_the_same_with_gradients(case, reducer):
    model = case.build()
    inputs = case.inputs(model, prompts=(3,), frames=((2,),))
    with fold(model, reducer) as folded:
        found = gradients(model, inputs)
        plain = folded.last.reductions[0].tokens
        with torch.no_grad():
            model(**inputs)
        assert torch.equal(folded.last.reductions[0].tokens, plain)
    vision = {name: each for name, each in found.items() if "language_model" not in name and "lm_head" not in name}
    assert sum(each.abs().sum() > 0 for each in vision.values()) > len(vision) / 2
    assert all(torch.isfinite(each).all() for each in found.values())


def test_what_the_tower_attends_to_is_seen_without_gradients(case):
    model = case.build()
    inputs = case.inputs(model, prompts=(3,), frames=((2,),))
    needs = frozenset({"shallow", "deep", "keys"})
    (video,) = models.family(model).encode(inputs, needs, gradients=True)
    assert video.features.requires_grad
    assert not any(getattr(video, name).requires_grad for name in needs)


def test_a_report_keeps_no_graph():
    model = builders.llava_onevision(6, 8)
    inputs = builders.batch([builders.prompt(model)]) | {"pixel_values_videos": builders.pixels(model)}
    with fold(model, AOT(retention=0.3)) as folded:
        logits = model(**inputs).logits
        node = weakref.ref(logits)
        assert logits.requires_grad
        del logits
        gc.collect()
        assert node() is None
        assert not folded.last.reductions[0].tokens.requires_grad


def test_a_frozen_vision_side_costs_no_weights():
    model = builders.llava_onevision(6, 8)
    for part in (model.model.vision_tower, model.model.multi_modal_projector):
        part.requires_grad_(False)
    inputs = builders.batch([builders.prompt(model)]) | {"pixel_values_videos": builders.pixels(model)}
    asked = []

    class Asked(Identity):
        def reduce(self, tokens, *, weights):
            asked.append(weights)
            return super().reduce(tokens, weights=weights)

    with fold(model, Asked()):
        found = gradients(model, inputs)
    assert asked == [False]
    assert found["lm_head.weight"].abs().sum() > 0
    assert found["model.image_newline"].abs().sum() > 0


def test_a_function_without_weights_is_warned_of_and_one_that_learns_is_not():
    model = builders.llava_onevision(6, 8)
    inputs = builders.batch([builders.prompt(model)]) | {"pixel_values_videos": builders.pixels(model)}
    scale = torch.nn.Parameter(torch.ones(()))

    def learns(tokens):
        reduction = Random(retention=0.5)(tokens, weights=True)
        return dataclasses.replace(reduction, tokens=scale * (reduction.weights @ tokens.pooled().flatten(0, 1)))

    with fold(model, lambda tokens: Random(retention=0.5)(tokens)):
        with pytest.warns(UserWarning, match=r"no Reduction.weights: the projector.* no gradients") as warned:
            model(**inputs)
        assert warned[0].filename == __file__
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("error")
            model(**inputs)
            model.generate(**inputs, max_new_tokens=1)
    with fold(model, learns), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradients(model, inputs)
    assert scale.grad.abs() > 0
    assert found["model.multi_modal_projector.linear_1.weight"].abs().sum() > 0


@pytest.mark.parametrize("sources", ["pooled", "patches"])
@pytest.mark.parametrize("newline", [False, True])
def test_sources_are_what_the_weights_say(sources, newline):
    video = make_video()
    video = dataclasses.replace(
        video,
        features=video.features.requires_grad_(),
        newline=torch.randn(16).requires_grad_() if newline else None,
        side=torch.randn(2, 6, 72, 4).requires_grad_() if sources == "patches" and not newline else None,
    )
    columns = (video.pooled() if sources == "pooled" else video.features).flatten(0, 1)
    columns = torch.cat([columns, video.newline[None]]) if newline else columns
    weights = torch.rand(5, len(columns)).softmax(1)
    places = torch.arange(5)
    side = None if video.side is None else torch.einsum("ks,lsd->lkd", weights, video.side.flatten(1, 2))
    reduction = Reduction((weights @ columns).detach(), places, places, (5, 4), 120, weights.to_sparse(), side)
    found = with_gradients(reduction, video)
    assert torch.equal(found.tokens, reduction.tokens)
    assert found.weights is None
    leaves = [each for each in (video.features, video.newline, video.side) if each is not None]
    loss = found.tokens.pow(2).sum() + (0 if side is None else found.side.pow(2).sum())
    expected = (weights @ columns).pow(2).sum() + (0 if side is None else side.pow(2).sum())
    for one, other in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(one, other)

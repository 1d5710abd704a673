"""What every family does where part of its vision tower is computed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from tests.models.matrix import CASES, built
from vidfold import Identity, fold, models
from vidfold.models.partial.encoding import encode
from vidfold.models.partial.packing import flat_source
from vidfold.tower import Plan, Repeats, Still, TowerMethod

NEEDS = frozenset({"shallow", "deep", "keys"})
FAMILIES = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


@dataclass(frozen=True)
class Some(TowerMethod):
    """Computes the first frame and a random share of the others; one of them is nothing but copies."""

    name = "some"
    idea = "a test"
    share: float = 0.4
    checked: tuple[int, ...] = ()

    def plan(self, pixels: Tensor) -> Plan:
        computed = torch.rand(pixels.shape[:2], generator=torch.Generator().manual_seed(3)) < self.share
        computed[0], computed[2] = True, False
        return replace(Plan.of(computed), checked=torch.tensor(self.checked, dtype=torch.int64))


def inputs_of(case, model):
    return case.inputs(model, prompts=(3, 8), frames=((4,), (3,)) if case.UNEQUAL else ((4,), (4,)))


def frame_by_frame(family, inputs):
    """A view of the pixels of every video, (F, values)."""
    shapes = [units.shape[0] for units in family.units(inputs)]
    for name in ("pixel_values_videos", "pixel_values"):
        if (pixels := inputs.get(name)) is not None:
            break
    if pixels.ndim == 5:
        return [video.flatten(1) for video in pixels]
    if "video_grid_thw" in inputs:
        sizes = inputs["video_grid_thw"].prod(1).tolist()
        return [part.view(frames, -1) for part, frames in zip(pixels.split(sizes), shapes, strict=True)]
    return [part.flatten(1) for part in pixels.split(shapes)]


def held(case, model):
    """Inputs in which every other frame is the one before."""
    inputs = inputs_of(case, model)
    for frames in frame_by_frame(models.family(model), inputs):
        frames[1::2] = frames[: len(frames) // 2 * 2 : 2]
    return inputs


def distinct(family, inputs):
    return sum(-(-len(units) // 2) * units.shape[1] for units in family.units(inputs))


@FAMILIES
@torch.no_grad()
def test_without_repeats_and_threshold_nothing_changes(case):
    model = built(case)
    family, inputs = models.family(model), inputs_of(case, model)
    for method in (Repeats(), Still(threshold=0), Still(share=1.0)):
        videos, spent = encode(family, inputs, NEEDS, method)
        assert spent.share == 1
        assert not spent.whole
        for video, stock in zip(videos, family.encode(inputs, NEEDS), strict=True):
            assert torch.equal(video.features, stock.features)
            assert torch.equal(video.deep, stock.deep)


@FAMILIES
@torch.no_grad()
def test_held_frames_cost_no_token_and_change_nothing(case):
    model = built(case)
    family, inputs = models.family(model), held(case, model)
    tower = family.tower(inputs)
    rows = []
    hook = tower.layers[-1].register_forward_hook(lambda _, args, __: rows.append(args[0].shape[:-1].numel()))
    try:
        videos, spent = encode(family, inputs, NEEDS, Repeats())
    finally:
        hook.remove()
    stock = family.encode(inputs, NEEDS)
    prefixes = tower.prefix * sum(-(-len(units) // 2) for units in family.units(inputs))
    assert rows == [distinct(family, inputs) * tower.unit + prefixes]
    assert sum(spent.computed) == distinct(family, inputs)
    for video, full in zip(videos, stock, strict=True):
        for name in ("features", *sorted(NEEDS), "side"):
            if getattr(full, name) is not None:
                assert torch.allclose(getattr(video, name), getattr(full, name), atol=1e-5), name


class Dense:
    """The stock tower on all tokens, where before every layer those not computed get the states of their sources."""

    def __init__(self, family, inputs, plans):
        tower = family.tower(inputs)
        parts, rows = [], 0
        for number, plan in enumerate(plans):
            source = plan.source if tower.orders is None else plan.source[:, tower.orders[number]]
            parts.append(flat_source(source, tower.prefix, tower.unit) + rows)
            rows += len(parts[-1])
        self.source, self.tower = torch.cat(parts), tower

    def __enter__(self):
        hooks = [each.register_forward_pre_hook(self.enter, with_kwargs=True) for each in self.tower.layers]
        self.hooks = hooks + [each.register_forward_hook(self.leave, prepend=True) for each in self.tower.ends]

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def enter(self, _, args, kwargs):
        return (args[0].flatten(0, -2)[self.source].view_as(args[0]), *args[1:]), kwargs

    def leave(self, _, __, output):
        together = len(self.source) // output.shape[:-1].numel()
        return output.flatten(0, -2)[self.source[::together] // together].view_as(output)


@FAMILIES
@torch.no_grad()
def test_computed_tokens_see_their_frame_through_what_stands_for_it(case):
    model = built(case)
    family, inputs = models.family(model), inputs_of(case, model)
    videos, spent = encode(family, inputs, NEEDS, Some())
    with Dense(family, inputs, [Some().plan(units) for units in family.units(inputs)]):
        dense = family.encode(inputs, NEEDS)
    stock = family.encode(inputs, NEEDS)
    assert 0.2 < spent.share < 0.8
    for video, wanted, full in zip(videos, dense, stock, strict=True):
        assert torch.allclose(video.features, wanted.features, atol=1e-5)
        assert torch.allclose(video.features[0], full.features[0], atol=1e-5)
        assert not torch.allclose(video.features[1], full.features[1], atol=1e-3)
        assert torch.allclose(video.deep, wanted.deep, atol=1e-4)
        assert torch.allclose(video.keys, wanted.keys, atol=1e-5)
        assert video.side is None or torch.allclose(video.side, wanted.side, atol=1e-5)


@FAMILIES
@torch.no_grad()
def test_drift_of_checked_frames(case):
    model = built(case)
    family, inputs = models.family(model), inputs_of(case, model)
    method = Some(checked=(1, 2))
    videos, spent = encode(family, inputs, frozenset(), method)
    unchecked, _ = encode(family, inputs, frozenset(), Some())
    stock = family.encode(inputs)
    tower = family.tower(inputs)
    assert all(torch.allclose(a.features, b.features, atol=1e-5) for a, b in zip(videos, unchecked, strict=True))
    assert spent.drift > 0.01
    if tower.prefix == 0 and tower.unit == 1:  # there features are the ends' output
        pairs = zip(videos, stock, strict=True)
        near = [torch.cosine_similarity(a.features[1:3], b.features[1:3], dim=-1).mean() for a, b in pairs]
        assert spent.drift == pytest.approx(1 - float(torch.stack(near).mean()), abs=1e-5)


@FAMILIES
@torch.no_grad()
def test_where_features_drift_the_whole_tower_runs(case):
    model = built(case)
    family, inputs = models.family(model), inputs_of(case, model)
    stock = family.encode(inputs)
    # All noise within a threshold: everything but the first frame is a copy.
    videos, spent = encode(family, inputs, frozenset(), Still(threshold=50.0, check=2, drift=1e-4))
    assert spent.whole
    assert spent.share > 1
    assert all(torch.equal(a.features, b.features) for a, b in zip(videos, stock, strict=True))
    _, spent = encode(family, inputs, frozenset(), Still(threshold=50.0, check=2, drift=2.0))
    assert not spent.whole
    assert spent.drift > 1e-4


@FAMILIES
@pytest.mark.parametrize(("dtype", "attention"), [(torch.bfloat16, "eager"), (torch.float16, "sdpa")], ids=str)
@torch.no_grad()
def test_half_precision_and_eager_attention(case, dtype, attention):
    model = built(case, dtype, attention)
    inputs = inputs_of(case, model)
    videos, _ = encode(models.family(model), inputs, frozenset({"deep"}), Some())
    assert all(video.features.dtype == dtype for video in videos)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@torch.no_grad()
def test_videos_of_unequal_sizes(name):
    model = built(CASES[name])
    family, whole = models.family(model), inputs_of(CASES[name], model)
    grids = torch.tensor([[3, 8, 12], [4, 4, 6], [3, 10, 4]])
    pixels = torch.randn(int(grids.prod(1).sum()), whole["pixel_values_videos"].shape[1])
    inputs = {"pixel_values_videos": pixels, "video_grid_thw": grids}
    videos, _ = encode(family, inputs, NEEDS, Some())
    with Dense(family, inputs, [Some().plan(units) for units in family.units(inputs)]):
        dense = family.encode(inputs, NEEDS)
    for video, wanted in zip(videos, dense, strict=True):
        assert torch.allclose(video.features, wanted.features, atol=1e-5)
        assert torch.allclose(video.shallow, wanted.shallow, atol=1e-4)


@torch.no_grad()
def test_a_tower_with_hooks_of_accelerate():
    from accelerate.hooks import ModelHook, add_hook_to_module

    case = CASES["llava_onevision"]
    model, plain = case.build(), built(case)
    inputs = inputs_of(case, model)
    (wanted, *_), _ = encode(models.family(plain), inputs, frozenset(), Some())
    for module in models.family(model).tower(inputs).layers:
        add_hook_to_module(module, ModelHook())
    (video, *_), _ = encode(models.family(model), inputs, frozenset(), Some())
    assert torch.equal(video.features, wanted.features)


@FAMILIES
def test_a_folded_model_answers_from_part_of_its_tower_and_is_as_before(case):
    model = case.build()
    inputs = held(case, model)
    hooks = [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()]
    settings = {"max_new_tokens": 2, "do_sample": False, "suppress_tokens": list(case.NEVER)}
    stock = model.generate(**inputs, **settings)
    with fold(model, Identity(), tower=Repeats()) as folded:
        assert torch.equal(model.generate(**inputs, **settings), stock)
        assert 0.4 < folded.last.tower.share < 0.7
        assert f"tower {100 * folded.last.tower.share:.0f} %" in str(folded.last)
        labels = {"labels": inputs["input_ids"]}
        model(**inputs, **labels).loss.backward()
    tower = models.family(model).tower(inputs)
    assert all(bool(each.weight.grad.abs().sum() > 0) for each in tower.layers[0].modules() if hasattr(each, "weight"))
    now = [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()]
    # The stock towers of transformers may keep hooks of their own from the first call on.
    assert [len(each._forward_pre_hooks) for each in model.modules()] == [0] * len(hooks)
    assert sum(now) - sum(hooks) <= 2 * len(tower.layers)


@FAMILIES
def test_what_a_tower_method_cannot_serve_is_refused(case):
    model = case.build()
    inputs = inputs_of(case, model)
    family = models.family(model)
    layer = family.tower(inputs).layers[1]
    with pytest.raises(ValueError, match="tower must be a tower method"):
        fold(model, Identity(), tower=0.5)
    model.train()
    layer.gradient_checkpointing = True
    with pytest.raises(ValueError, match="gradient checkpointing"):
        encode(family, inputs, frozenset(), Some(), gradients=True)
    model.eval()
    encode(family, inputs, frozenset(), Some(), gradients=True)
    layer.compile()
    with pytest.raises(ValueError, match="compiled"):
        encode(family, inputs, frozenset(), Some())


@torch.no_grad()
def test_after_an_error_in_the_tower_it_is_as_before():
    case = CASES["llava_onevision"]
    model = case.build()
    family, inputs = models.family(model), inputs_of(case, model)
    stock = family.encode(inputs)
    layer = family.tower(inputs).layers[1]

    def fail(*_):
        raise RuntimeError("full")

    hook = layer.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="full"):
        encode(family, inputs, frozenset(), Some())
    hook.remove()
    assert torch.equal(family.encode(inputs)[0].features, stock[0].features)
    assert not layer._forward_pre_hooks


def clip_tower(**config):
    """A LLaVA-OneVision with a CLIP tower, which has a CLS token that the model takes off."""
    from transformers import CLIPVisionConfig, LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    text = CASES["llava_onevision"].build().config.text_config
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=2, image_size=48, patch_size=8
    )
    settings = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default", **config}
    torch.manual_seed(0)
    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(vision_config=vision, text_config=text, **settings)
    ).eval()


@pytest.mark.parametrize("layers", [-2, [-3, -2]], ids=str)
@torch.no_grad()
def test_a_tower_with_cls(layers):
    model = clip_tower(vision_feature_layer=layers)
    pixels = torch.randn(1, 4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    pixels[:, 1] = pixels[:, 0]
    family, inputs = models.family(model), {"pixel_values_videos": pixels}
    (stock,) = family.encode(inputs)
    (video,), spent = encode(family, inputs, frozenset(), Repeats())
    assert spent.share == 0.75
    assert torch.allclose(video.features, stock.features, atol=1e-5)
    (some,), _ = encode(family, inputs, frozenset(), Some())
    with Dense(family, inputs, [Some().plan(units) for units in family.units(inputs)]):
        (dense,) = family.encode(inputs)
    assert torch.allclose(some.features, dense.features, atol=1e-5)


def test_features_of_no_layer_are_refused():
    model = clip_tower(vision_feature_layer=[0, -2])
    inputs = {"pixel_values_videos": torch.randn(1, 4, 3, 48, 48)}
    with pytest.raises(ValueError, match="vision_feature_layer 0"):
        encode(models.family(model), inputs, frozenset(), Some())


@torch.no_grad()
def test_threads_do_not_see_each_others_plans():
    case = CASES["llava_onevision"]
    model = built(case)
    family = models.family(model)
    calls = [case.inputs(model, prompts=(seed,), frames=((4,),)) for seed in range(1, 5)]
    methods = [Some(), None, Some(0.2), None]

    def features(call, method):
        with torch.no_grad():
            videos = encode(family, call, NEEDS, method)[0] if method else family.encode(call, NEEDS)
        return videos[0].features

    alone = [features(*each) for each in zip(calls, methods, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = pool.map(features, calls, methods)
            assert all(torch.equal(a, b) for a, b in zip(found, alone, strict=True))

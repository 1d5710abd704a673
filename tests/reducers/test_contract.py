"""What holds for every method: one matrix over methods and inputs."""

from dataclasses import replace

import pytest
import torch

from tests.conftest import make_video
from vidfold import Pooling, VideoTokens
from vidfold.reducers import AOT, METHODS, AOTPaper, BudgetedReducer, InnerReducer, Reducer, get
from vidfold.segments import DySeg

BEFORE = {name: method for name, method in METHODS.items() if not issubclass(method, InnerReducer)}
"""Methods that work before the language model; those inside it have tests of their own."""
REDUCERS: dict[str, Reducer] = {name: method() for name, method in BEFORE.items()} | {
    "aot-reference": get("aot-reference", anchors=12),
    "aot-weighted": AOT(attention_power=0.5, clip=3),
    "aot-dynamic": AOT(segments=DySeg(clips=3)),
    "aot-few": AOT(candidates=1, sketch=8),
    "aot-all": AOT(candidates=None, intra_cap=3.0, inter_cap=3.0),
    "aot-paper-dynamic": AOTPaper(segments=DySeg(clips=3)),
    "aot-paper-optimal": AOTPaper(segments="optimal"),
    "aot-paper-encoder": AOTPaper(merge="encoder", distance=0.5, nearest=0.1, time_scale=1.5, repeat_key=True),
    "aot-paper-mass": AOTPaper(carry_mass=True, saliency_mass=True, intra_scale=0.3, clip=3),
    "aot-reference-dynamic": get("aot-reference", anchors=12, segments="dynamic"),
    "aot-reference-optimal": get("aot-reference", anchors=12, segments="optimal"),
}
VIDEOS = {
    "one frame": {"frames": 1},
    "odd": {"frames": 7, "grid": (7, 5)},
    "even": {"frames": 8, "grid": (12, 12)},
    "one cell": {"frames": 3, "grid": (4, 4), "pooling": Pooling.AVERAGE},
    "unpooled": {"frames": 5, "grid": (5, 4), "pooling": Pooling.NONE},
    "bf16": {"frames": 6, "dtype": torch.bfloat16},
    "fp16": {"frames": 6, "dtype": torch.float16},
}
reducers = pytest.mark.parametrize("reducer", REDUCERS.values(), ids=REDUCERS)


def test_matrix_has_every_method():
    assert {type(reducer) for reducer in REDUCERS.values()} == set(BEFORE.values())


@reducers
@pytest.mark.parametrize("video", VIDEOS.values(), ids=VIDEOS)
def test_contract(reducer, video):
    tokens = make_video(**video)
    before = tokens.features.clone()
    reduction = reducer(tokens)
    assert torch.equal(tokens.features, before), "the input was changed"
    assert reduction.tokens.dtype == tokens.features.dtype
    assert reduction.tokens.shape[1] == tokens.features.shape[2]
    assert torch.isfinite(reduction.tokens).all()
    assert reduction.full == tokens.frames * tokens.cells
    assert ((reduction.frames >= 0) & (reduction.frames < tokens.frames)).all()
    assert ((reduction.cells >= 0) & (reduction.cells < tokens.cells)).all()
    if reducer.exact:
        assert len(reduction) == reducer.count(tokens.frames, tokens.cells)
    again = reducer(tokens)
    assert torch.equal(again.tokens, reduction.tokens), "not deterministic"


@reducers
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_features(reducer, value):
    tokens = make_video(frames=6)
    flat = replace(tokens, features=torch.full_like(tokens.features, value))
    reduction = reducer(flat)
    torch.testing.assert_close(reduction.tokens, torch.full_like(reduction.tokens, value))
    no_attention = replace(flat, shallow=torch.zeros_like(flat.shallow), deep=torch.zeros_like(flat.deep))
    assert torch.isfinite(reducer(no_attention).tokens).all()


@reducers
def test_slices_and_tensors_that_require_grad(reducer):
    tokens = make_video(frames=6)
    expected = reducer(tokens)
    every_second = torch.stack([tokens.features, -tokens.features], dim=-1).flatten(2)[:, :, ::2]
    assert not every_second.is_contiguous()
    for features in (every_second, tokens.features.clone().requires_grad_()):
        reduction = reducer(replace(tokens, features=features))
        assert torch.equal(reduction.cells, expected.cells)
        torch.testing.assert_close(reduction.tokens.detach(), expected.tokens)


@reducers
def test_a_single_token(reducer):
    tokens = make_video(frames=1, grid=(1, 1), pooling=Pooling.NONE)
    if isinstance(reducer, get("aot-reference").__class__):
        reducer = replace(reducer, anchors=1)
    torch.testing.assert_close(reducer(tokens).tokens, tokens.features[0])


@reducers
def test_half_precision_whose_squares_overflow(reducer):
    tokens = make_video(frames=6, dtype=torch.float16)
    large = replace(tokens, features=tokens.features / tokens.features.abs().max() * 6e4)
    reduction = reducer(large)
    assert torch.isfinite(reduction.tokens).all()


@reducers
def test_weights_rebuild_the_tokens(reducer):
    tokens = make_video(frames=7, grid=(7, 6))
    plain, reduction = reducer(tokens), reducer(tokens, weights=True)
    assert plain.weights is None
    torch.testing.assert_close(reduction.tokens, plain.tokens)
    dense = reduction.weights.to_dense()
    torch.testing.assert_close(dense.sum(1), torch.ones(len(reduction)))
    assert (dense >= 0).all()
    before_pooling = getattr(reducer, "merge", "") == "encoder" or reducer.name == "aot-reference"
    sources = tokens.features if before_pooling else tokens.pooled()
    assert dense.shape[1] == sources.shape[0] * sources.shape[1]
    torch.testing.assert_close(dense @ sources.flatten(0, 1), reduction.tokens, atol=1e-5, rtol=1e-5)


@reducers
def test_error_names_the_need_of_a_method(reducer):
    tokens = make_video()
    for field in reducer.needs:
        with pytest.raises(ValueError, match=rf"{reducer.name} needs VideoTokens.{field}"):
            reducer(replace(tokens, **{field: None}))
    if not reducer.needs:
        reducer(VideoTokens(tokens.features, tokens.grid))


@reducers
def test_scale_of_attention_does_not_matter(reducer):
    tokens = make_video()
    scaled = replace(tokens, shallow=tokens.shallow * 64, deep=tokens.deep / 64)
    torch.testing.assert_close(reducer(scaled).tokens, reducer(tokens).tokens)


budgeted = pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if issubclass(method, BudgetedReducer)]
)


@budgeted
@pytest.mark.parametrize("retention", [1e-6, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("frames", [1, 5, 9])
def test_budget_is_exact(name, retention, frames):
    tokens = make_video(frames=frames, grid=(9, 7))
    full = frames * tokens.cells
    reducer = get(name, retention=retention)
    assert len(reducer(tokens)) == reducer.count(frames, tokens.cells) == max(1, int(retention * full + 0.5))


@budgeted
def test_keeping_everything_changes_nothing(name):
    tokens = make_video()
    reduction = get(name, retention=1.0)(tokens)
    assert torch.equal(reduction.tokens, tokens.pooled().flatten(0, 1))


@budgeted
@pytest.mark.parametrize("value", [0, 1.5, -0.1, float("nan"), "abc", None])
def test_bad_retention_is_quoted(name, value):
    with pytest.raises(ValueError, match=rf"retention must be .*got {value!r}"):
        get(name, retention=value)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        ValueError, match=r"unknown method 'fastvide'; did you mean 'fastvid'\? there are: aot, aot-paper, aot-ref"
    ):
        get("fastvide")
    with pytest.raises(ValueError, match=r"random has no field 'ratio'; it has: retention, seed"):
        get("random", ratio=0.1)


def test_random_depends_on_the_seed_and_not_on_the_global_generator():
    tokens = make_video()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second = get("random", seed=1)(tokens), get("random", seed=2)(tokens)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first.cells, second.cells)

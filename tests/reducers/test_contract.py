"""What holds for every method: one matrix over methods and inputs."""

from dataclasses import replace

import pytest
import torch

from tests.conftest import make_video
from vidfold import Pooling, Reduction, VideoTokens
from vidfold.reducers import AOT, METHODS, AOTPaper, BudgetedReducer, InnerReducer, Reducer, get
from vidfold.segments import DySeg

BEFORE = {name: method for name, method in METHODS.items() if not issubclass(method, InnerReducer)}
"""Methods that work before the language model; those inside it have tests of their own."""
REDUCERS: dict[str, Reducer] = {name: method() for name, method in BEFORE.items()} | {
    "aot-reference": get("aot-reference", anchors=12),
    "aot-clips": AOT(clip=3),
    "aot-dynamic": AOT(segments=DySeg(clips=3)),
    "aot-sketch": AOT(rounds=2, sketch=8),
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


def same(reduction: Reduction, expected: Reduction) -> bool:
    """Whether two reductions are equal number for number."""
    return all(torch.equal(getattr(reduction, name), getattr(expected, name)) for name in ("tokens", "frames", "cells"))


@reducers
def test_tensors_that_require_grad(reducer):
    tokens = make_video(frames=6)
    asking = replace(tokens, features=tokens.features.clone().requires_grad_())
    assert same(reducer(asking), reducer(tokens))


@reducers
def test_autocast_changes_nothing(reducer):
    tokens = make_video(frames=6, grid=(8, 8))
    expected = reducer(tokens, weights=True)
    with torch.autocast("cpu", torch.bfloat16):
        reduction = reducer(tokens, weights=True)
    assert same(reduction, expected)
    assert torch.equal(reduction.weights.to_dense(), expected.weights.to_dense())


@reducers
def test_the_default_dtype_changes_nothing(reducer):
    tokens = make_video(frames=8, grid=(12, 12))
    expected = reducer(tokens, weights=True)
    for dtype in (torch.bfloat16, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            reduction = reducer(tokens, weights=True)
        finally:
            torch.set_default_dtype(torch.float32)
        assert same(reduction, expected), dtype
        assert torch.equal(reduction.weights.to_dense(), expected.weights.to_dense()), dtype


LAYOUTS = {
    "every second channel": lambda x: torch.stack([x, -x], dim=-1).flatten(-2)[..., ::2],
    "cells last": lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
    "frames last": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "backwards": lambda x: x.flip(0).as_strided(x.shape, x.stride()).flip(0),
    "not aligned": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
}


@reducers
def test_the_layout_in_memory_changes_nothing(reducer):
    tokens = make_video(frames=8, grid=(12, 12), pooling=Pooling.NONE, channels=24)
    given = {name: value for name, value in vars(tokens).items() if isinstance(value, torch.Tensor)}
    expected = reducer(tokens)
    for name, layout in LAYOUTS.items():
        laid_out = replace(tokens, **{field: layout(value) for field, value in given.items()})
        assert same(reducer(laid_out), expected), name


@reducers
def test_frames_that_share_memory(reducer):
    tokens = make_video(frames=6)
    shared = replace(tokens, features=tokens.features[:1].expand(6, -1, -1))
    assert same(reducer(shared), reducer(replace(shared, features=shared.features.clone())))


@reducers
def test_a_single_token(reducer):
    tokens = make_video(frames=1, grid=(1, 1), pooling=Pooling.NONE)
    if isinstance(reducer, get("aot-reference").__class__):
        reducer = replace(reducer, anchors=1)
    torch.testing.assert_close(reducer(tokens).tokens, tokens.features[0])


@reducers
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pooling", [Pooling.NONE, Pooling.BILINEAR])
def test_the_largest_numbers(reducer, dtype, pooling):
    """Means of the largest numbers of a dtype are finite, and those of the tokens that are merged."""
    tokens = make_video(frames=8, grid=(8, 8), pooling=pooling)
    largest = torch.finfo(dtype).max
    features = (tokens.features.double() / tokens.features.abs().max() * largest).to(dtype)
    features = features.where(tokens.features.abs() < 1, features.sign() * largest)
    large = replace(tokens, features=features)
    reduction = reducer(large, weights=True)
    assert torch.isfinite(reduction.tokens).all()
    before_pooling = getattr(reducer, "merge", "") == "encoder" or reducer.name == "aot-reference"
    sources = features if before_pooling else replace(large, features=features.double()).pooled()
    expected = reduction.weights.to_dense().double() @ (sources.double() / largest).flatten(0, 1)
    close = 2 * torch.finfo(dtype).eps + 1e-6
    torch.testing.assert_close(reduction.tokens.double() / largest, expected, atol=close, rtol=close)


@reducers
def test_several_videos_are_as_each_alone(reducer):
    shapes = [{}, {"frames": 3, "grid": (7, 5)}, {"dtype": torch.bfloat16}, {}, {"pooling": Pooling.NONE}, {}]
    videos = [make_video(**shape, seed=seed) for seed, shape in enumerate(shapes)]
    videos[4] = replace(videos[4], side=videos[4].features[None, :, :, :3])
    together, plain = (reducer.many(videos, weights=weights) for weights in (True, False))
    assert len(together) == len(videos)
    for video, found, bare in zip(videos, together, plain, strict=True):
        alone = reducer(video, weights=True)
        assert torch.equal(found.frames, alone.frames)
        assert torch.equal(found.cells, alone.cells)
        assert (found.grid, found.full) == (alone.grid, alone.full)
        torch.testing.assert_close(found.tokens, alone.tokens, atol=1e-6, rtol=1e-6)
        assert (found.side is None) == (alone.side is None)
        torch.testing.assert_close(found.weights.to_dense(), alone.weights.to_dense(), atol=1e-6, rtol=1e-6)
        assert bare.weights is None
        assert torch.equal(bare.frames, found.frames)
        assert torch.equal(bare.cells, found.cells)
        torch.testing.assert_close(bare.tokens, found.tokens, atol=1e-6, rtol=1e-6)
    assert reducer.many([]) == []


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
def test_budget_is_exact(name):
    for frames in (1, 5, 9):
        tokens = make_video(frames=frames, grid=(9, 7))
        full = frames * tokens.cells
        for retention in (1e-6, 0.01, 0.1, 1 / 3, 0.9, 1.0):
            reducer = get(name, retention=retention)
            kept = max(1, int(retention * full + 0.5))
            assert len(reducer(tokens)) == reducer.count(frames, tokens.cells) == kept, (frames, retention)


@budgeted
def test_keeping_everything_changes_nothing(name):
    tokens = make_video()
    reduction = get(name, retention=1.0)(tokens)
    assert torch.equal(reduction.tokens, tokens.pooled().flatten(0, 1))


@budgeted
def test_bad_retention_is_quoted(name):
    for value in (0, 1.5, -0.1, float("nan"), "abc", None):
        with pytest.raises(ValueError, match=rf"retention must be .*got {value!r}"):
            get(name, retention=value)


@budgeted
def test_a_number_of_tokens_is_kept_of_every_video(name):
    videos = [make_video(frames=frames, grid=(9, 8)) for frames in (1, 6, 3, 6)]
    full = [each.frames * each.cells for each in videos]
    for total in (1, 7, full[0], 10 * max(full)):
        method = get(name, tokens=total)
        assert [method.count(each.frames, each.cells) for each in videos] == [min(total, each) for each in full]
        for video, every, reduction in zip(videos, full, method.many(videos), strict=True):
            assert len(reduction) == min(total, every)
            alone = get(name, retention=min(1.0, total / every))(video)
            torch.testing.assert_close(reduction.tokens, alone.tokens, atol=1e-6, rtol=1e-6)


def test_a_share_and_a_number_are_not_given_together():
    with pytest.raises(ValueError, match=r"give retention or tokens, not both: got 0\.2 and 64"):
        AOT(retention=0.2, tokens=64)
    with pytest.raises(ValueError, match=r"retention must be a number in \(0, 1\] where tokens is not given, got None"):
        AOT(retention=None)
    with pytest.raises(ValueError, match="tokens must be a whole number of at least 1, got 0"):
        AOT(tokens=0)
    with pytest.raises(ValueError, match="the authors' program of holitom keeps a share: give retention"):
        get("holitom", tokens=64, original=True)
    method = AOT(tokens=64)
    assert replace(method, tokens=32) == AOT(tokens=32)
    assert eval(repr(method), {"AOT": AOT}) == method


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

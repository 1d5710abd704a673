"""AOT: against plain loops, and what it promises."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import make_video
from tests.ops.test_locality import placed
from tests.ops.test_quantise import quantised
from vidfold import AOT, Pooling, VideoTokens
from vidfold.ops import cover, shares
from vidfold.reducers import base
from vidfold.reducers.aot import clipwise
from vidfold.reducers.aot.method import CLOSE
from vidfold.segments import DySeg


def _by_hand(method: AOT, video: VideoTokens, clip: int) -> tuple[torch.Tensor, list[int]]:
    """The method in plain loops over clips, anchors and tokens, in float64, from its description."""
    pooled = video.pooled().double()
    frames, cells, _ = pooled.shape
    total = method.count(frames, cells)
    out, places = [], []
    for start in range(0, frames, clip):
        end = min(frames, start + clip)
        count = total * end // frames - total * start // frames
        rows = pooled[start:end].flatten(0, 1)
        units = torch.nn.functional.normalize(rows, dim=1)
        if method.locality:
            units = placed(units, end - start, video.language_grid, method.locality * (1 - total / (frames * cells)))
        labels, near = quantised(units, count, method.rounds)
        for anchor in range(count):
            members = [row for row in range(len(rows)) if labels[row] == anchor]
            out.append(rows[members].mean(0))
            best = max(near[row] for row in members)
            places.append(start * cells + min(row for row in members if near[row] >= best - CLOSE))
    order = sorted(range(total), key=places.__getitem__)
    return torch.stack([out[anchor] for anchor in order]), sorted(places)


@pytest.mark.parametrize(
    ("choice", "clip"),
    [
        ({"clip": 4}, 4),
        ({"retention": 0.3}, 11),
        ({"clip": 3, "retention": 0.4}, 3),
        ({"rounds": 1, "clip": 5}, 5),
        ({"rounds": 8}, 11),
        ({"locality": 0.0}, 11),
        ({"locality": 4.0, "clip": 5}, 5),
    ],
)
def test_equals_plain_loops(choice, clip):
    video = make_video(frames=11, grid=(13, 11), channels=24)
    method = AOT(**{"retention": 0.2} | choice)
    tokens, places = _by_hand(method, video, clip)
    reduction = method(video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == places
    torch.testing.assert_close(reduction.tokens, tokens.float(), atol=1e-4, rtol=1e-4)


def test_clips_are_short_enough_for_the_budget():
    """16 frames, evenly; fewer where a clip would keep more than 1,024 tokens, or where there are fewer tokens."""
    cut = lambda method, *shape: AOT.cut(method, make_video(frames=shape[0], grid=shape[1])).lengths.tolist()  # noqa: E731
    assert cut(AOT(), 33, (4, 4)) == [11, 11, 11]
    assert cut(AOT(retention=1.0), 8, (64, 64)) == [1] * 8
    assert cut(AOT(retention=1e-6), 40, (4, 4)) == [40]


def test_golden_input_at_a_tenth(ov_video):
    reduction = AOT(retention=0.1)(ov_video)
    assert len(reduction) == 627
    assert reduction.full == 6272
    place = reduction.frames * ov_video.cells + reduction.cells
    assert (place.diff() > 0).all(), "reading order: time, then raster, each cell once"


def test_no_attention_is_needed():
    assert AOT().needs == frozenset()
    video = make_video()
    torch.testing.assert_close(AOT()(replace(video, shallow=None, deep=None)).tokens, AOT()(video).tokens)


@pytest.mark.parametrize("retention", [0.01, 0.05, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("clip", [1, 3, 8, None])
def test_the_budget_is_exact_everywhere(retention, clip):
    video = make_video(frames=11, grid=(5, 7))
    method = AOT(retention=retention, clip=clip)
    reduction = method(video)
    assert len(reduction) == method.count(11, video.cells)
    place = reduction.frames * video.cells + reduction.cells
    assert (place.diff() > 0).all()


@given(
    retention=st.floats(0.01, 1),
    clip=st.one_of(st.none(), st.integers(1, 12)),
    segments=st.sampled_from(["uniform", "dynamic", "optimal"]),
    rounds=st.integers(1, 6),
    sketch=st.one_of(st.none(), st.integers(1, 40)),
    frames=st.integers(1, 12),
    still=st.booleans(),
)
@settings(max_examples=60)
def test_every_token_shows_something(retention, clip, segments, rounds, sketch, frames, still):
    """Whatever the settings: as many tokens as asked for, finite, and none of them all zero."""
    video = make_video(frames=frames, grid=(5, 4))
    if still:
        video = replace(video, features=video.features[:1].expand(frames, -1, -1).contiguous())
    clip = clip if segments == "uniform" else None
    method = AOT(retention=retention, clip=clip, segments=segments, rounds=rounds, sketch=sketch)
    reduction = method(video)
    assert len(reduction) == method.count(frames, video.cells)
    assert torch.isfinite(reduction.tokens).all()
    assert (reduction.tokens != 0).any(1).all()


def test_fewer_tokens_than_clips():
    video = make_video(frames=33)
    reduction = AOT(retention=1e-6)(video)
    assert len(reduction) == 1
    assert torch.isfinite(reduction.tokens).all()


def test_keeping_everything_gives_the_video():
    video = make_video(frames=5)
    torch.testing.assert_close(AOT(retention=1.0)(video).tokens, video.pooled().flatten(0, 1))


def test_copies_of_a_frame_are_one_frame():
    """Where time costs nothing, what a clip repeats goes into the tokens that are kept, and changes none of them."""
    frame = make_video(frames=1, grid=(8, 8), pooling=Pooling.NONE)
    still = replace(
        frame,
        features=frame.features.expand(8, -1, -1),
        shallow=frame.shallow.expand(8, -1),
        deep=frame.deep.expand(8, -1),
        keys=None,
        frame_features=None,
    )
    kept = AOT(retention=1 / 8, rounds=8, locality=0.0)(still)
    assert sorted(kept.cells.tolist()) == list(range(64))
    torch.testing.assert_close(kept.tokens, frame.features[0][kept.cells], atol=1e-3, rtol=1e-3)


def test_rare_tokens_are_kept():
    """A token like no other survives any fold, however small, without attention."""
    video = make_video(frames=8, grid=(8, 8), pooling=Pooling.NONE)
    ground = torch.randn(video.features.shape[2])
    features = ground + 0.1 * video.features / video.features.std()
    features[5, 17] = -ground
    reduction = AOT(retention=0.05)(replace(video, features=features))
    found = (reduction.frames == 5) & (reduction.cells == 17)
    assert found.sum() == 1
    torch.testing.assert_close(reduction.tokens[found][0], -ground)


@pytest.mark.parametrize("scale", [1e-3, 0.07, 1 / 3, 0.9, 1.1, 3.0, 47.0, 1e3])
def test_scale_free(scale):
    """No power of two: those change no rounding."""
    video = make_video(frames=6)
    found, expected = AOT()(replace(video, features=video.features * scale)), AOT()(video)
    assert torch.equal(found.frames, expected.frames)
    assert torch.equal(found.cells, expected.cells)
    torch.testing.assert_close(found.tokens, expected.tokens * scale, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("shift", [0.0, 0.3, 5.0, 1e3])
def test_what_all_tokens_share_may_be_large(shift):
    video = make_video(frames=6)
    common = torch.zeros(video.features.shape[2])
    common[0] = shift
    reduction = AOT()(replace(video, features=video.features + common))
    assert torch.isfinite(reduction.tokens).all()
    assert len(reduction) == AOT().count(6, video.cells)


def test_clips_are_folded_alone():
    video = make_video(frames=12)
    whole = AOT(retention=0.25, clip=4)(video)
    for first in (0, 4, 8):
        here = slice(first, first + 4)
        part = VideoTokens(video.features[here], video.grid, video.pooling)
        rows = (whole.frames >= first) & (whole.frames < first + 4)
        torch.testing.assert_close(whole.tokens[rows], AOT(retention=0.25, clip=4)(part).tokens, atol=1e-5, rtol=1e-5)


def test_dynamic_segments_with_known_cuts_equal_given_ones():
    scenes = [make_video(frames=length, seed=seed) for seed, length in enumerate((5, 1, 3))]
    video = VideoTokens(
        torch.cat([scene.features for scene in scenes]),
        scenes[0].grid,
        scenes[0].pooling,
        frame_features=torch.eye(3).repeat_interleave(torch.tensor([5, 1, 3]), 0),
    )
    dynamic = AOT(retention=0.3, segments=DySeg(clips=1, threshold=0.5))(video)
    given_ones = AOT(retention=0.3, segments=((0, 5), (5, 1), (6, 3)))(video)
    torch.testing.assert_close(dynamic.tokens, given_ones.tokens, atol=1e-6, rtol=1e-6)
    assert torch.equal(dynamic.cells, given_ones.cells)


def test_blocks_do_not_change_the_result(monkeypatch):
    video = make_video(frames=19)
    whole = AOT(retention=0.2)(video, weights=True)
    monkeypatch.setattr(clipwise, "CPU_BLOCK", 1)
    blocks = AOT(retention=0.2)(video, weights=True)
    torch.testing.assert_close(blocks.tokens, whole.tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(blocks.weights.to_dense(), whole.weights.to_dense(), atol=1e-5, rtol=1e-5)


def test_a_sketch_chooses_nearly_the_same():
    video = make_video(frames=16, grid=(8, 8), channels=768, pooling=Pooling.NONE)
    exact, near = AOT(retention=0.2, sketch=None)(video), AOT(retention=0.2, sketch=256)(video)
    assert len(exact) == len(near)
    whole, own = video.pooled().flatten(0, 1), torch.nn.functional.normalize
    covered = [(1 - own(whole, dim=1) @ own(each.tokens, dim=1).T).amin(1).mean() for each in (exact, near)]
    assert covered[1] < 1.05 * covered[0]


def meta_video(frames: int) -> VideoTokens:
    """A video without values, so whatever looks at one, as a wait for the device does, fails."""
    video = make_video(frames=frames)
    meta = object.__new__(VideoTokens)
    for field in fields(VideoTokens):
        value = getattr(video, field.name)
        object.__setattr__(meta, field.name, value.to("meta") if isinstance(value, torch.Tensor) else value)
    return meta


@pytest.mark.parametrize("videos", [1, 3])
@pytest.mark.parametrize(
    "method",
    [
        AOT(retention=0.13),
        AOT(retention=0.13, clip=3),
        AOT.paper(retention=0.13, iterations=3),
    ],
    ids=["default", "clips", "paper"],
)
def test_no_host_sync(method, videos):
    found = method.reduce_all([meta_video(20)] * videos, weights=False)
    assert [len(each) for each in found] == [method.count(20, make_video(frames=1).cells)] * videos


class Waits(TorchDispatchMode):
    """Counts the operations for which a host waits for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.count += masked or name in ("_local_scalar_dense", "nonzero", "masked_select")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("videos", [1, 3])
def test_clips_found_in_the_content_cost_one_wait(videos, monkeypatch):
    for module in (base, cover, shares):
        monkeypatch.setattr(module, "on_host", lambda values: False)
    same = [make_video(frames=40)] * videos
    lists = []
    whole = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda values: lists.append(1) or whole(values))
    with Waits() as waits:
        AOT(retention=0.2, segments=DySeg(clips=3)).many(same)
    assert waits.count + len(lists) == 1


def test_compiles_as_one_graph_with_equal_results():
    """A graph without breaks has no step that waits for the device."""
    video, method = make_video(6, (4, 4), pooling=Pooling.NONE), AOT(0.2, sketch=8)
    compiled = torch.compile(method.reduce, fullgraph=True, backend="eager")(video, weights=False)
    expected = method(video)
    assert torch.equal(compiled.cells, expected.cells)
    torch.testing.assert_close(compiled.tokens, expected.tokens)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"rounds": 0}, "rounds must be a whole number of at least 1, got 0"),
        ({"clip": 0}, "clip must be a whole number of at least 1, got 0"),
        ({"sketch": 0}, "sketch must be a whole number of at least 1, got 0"),
        ({"locality": -0.5}, "locality must be a finite number of at least 0, got -0.5"),
        ({"retention": 0.0}, r"retention must be in \(0, 1\], got 0.0"),
        ({"segments": "sometimes"}, "segments must be 'uniform'"),
    ],
)
def test_bad_settings(choice, says):
    with pytest.raises(ValueError, match=says):
        AOT(**choice)

"""AOT as the paper has it: against plain loops, the authors' program, and its own promises."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_video
from vidfold import AOT, Pooling, VideoTokens
from vidfold.reducers import AOTPaper, AOTReference
from vidfold.reducers.aot import clipwise
from vidfold.reducers.aot.paper_budget import clip_budget
from vidfold.segments import DySeg, Uniform
from vidfold.transport import cosine, sinkhorn


def test_golden_input_at_a_tenth(ov_video):
    reduction = AOT.paper(retention=0.1)(ov_video)
    assert len(reduction) == 627
    assert reduction.full == 6272
    place = reduction.frames * ov_video.cells + reduction.cells
    assert (place.diff() > 0).all(), "reading order: time, then raster, each cell once"


def _by_hand(method: AOTPaper, video: VideoTokens) -> torch.Tensor:
    """The method in plain loops over frames and clips, from its description."""
    pooled, shallow, deep = video.pooled(), video.pool(video.shallow), video.pool(video.deep)
    total = method.count(video.frames, video.cells)
    cut = Uniform(method.clip)(video)
    budget = clip_budget(total, video.cells, cut, method.kept_share, method.repeat_key)
    height, width = video.language_grid
    out = []
    for clip, (start, length) in enumerate(zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True)):
        count = int(budget.anchors[clip])
        rows = []
        for frame in range(start, start + length):
            windows = [[] for _ in range(method.windows**2)]
            for cell in shallow[frame].argsort(descending=True).tolist():
                y, x = divmod(cell, width)
                windows[y * method.windows // height * method.windows + x * method.windows // width].append(cell)
            turns = [
                sorted((w[turn] for w in windows if len(w) > turn), key=lambda c: -shallow[frame, c])
                for turn in range(video.cells)
            ]
            queue = [cell for turn in turns for cell in turn]
            anchors = queue[: int(count * (1 - method.global_ratio))]
            for cell in deep[frame].argsort(descending=True).tolist():
                if len(anchors) < count and cell not in anchors:
                    anchors.append(cell)
            anchors.sort()
            others = [cell for cell in range(video.cells) if cell not in anchors]
            x, own = pooled[frame][others], pooled[frame][anchors]
            if anchors and others:
                plan = sinkhorn(cosine(x[None], own[None]), tolerance=1e-7, iterations=2000).plan[0]
                share = plan / plan.sum(1, keepdim=True)
                scale = 1 / len(others) if method.intra_scale == "unit" else method.intra_scale
                own = (own + scale * share.T @ x) / (1 + scale * share.sum(0)[:, None])
            rows.append(own)
        merged, kept = rows[0], []
        for gap in range(1, length):
            x = rows[gap]
            quota = int(budget.kept_at(gap, cut.lengths)[clip])
            plan = sinkhorn(cosine(x[None], merged[None]), tolerance=1e-7, iterations=2000).plan[0]
            share = plan / plan.sum(1, keepdim=True)
            stays = share.amax(1).argsort()[:quota].sort().values
            moves = torch.ones(len(x), dtype=torch.bool)
            moves[stays] = False
            kept.append(x[stays])
            merged = (merged + share[moves].T @ x[moves]) / (1 + share[moves].sum(0)[:, None])
        out.extend([merged, *kept])
    return torch.cat(out)


@pytest.mark.parametrize("settings", [{}, {"intra_scale": 0.5}, {"clip": 3, "keep": 0.6}, {"retention": 0.4}])
def test_equals_plain_loops(settings):
    video = make_video(frames=11, grid=(13, 11), channels=24)
    method = AOTPaper(**{"retention": 0.2} | settings)
    torch.testing.assert_close(method(video).tokens, _by_hand(method, video), atol=1e-3, rtol=0)


def test_names_of_the_forms():
    assert AOT.paper is AOTPaper
    assert AOT.reference is AOTReference


def test_with_the_authors_settings_it_is_close_to_their_program(ov_video):
    theirs = AOTReference(anchors=126, keep=0.3)(ov_video)
    ours = AOTPaper(
        retention=theirs.retention, merge="encoder", distance=0.5, nearest=0.1, time_scale=1.5, repeat_key=True
    )(ov_video)
    assert len(ours) == len(theirs)
    nearest = cosine(theirs.tokens[None], ours.tokens[None])[0].amin(1)
    assert nearest.median() < 0.01


def test_segments_are_folded_independently():
    video = make_video(frames=12)
    whole = AOTPaper(retention=0.25, clip=4)(video)
    for first in (0, 4, 8):
        part = VideoTokens(
            video.features[first : first + 4],
            video.grid,
            video.pooling,
            video.shallow[first : first + 4],
            video.deep[first : first + 4],
        )
        alone = AOTPaper(retention=0.25, clip=4)(part)
        rows = (whole.frames >= first) & (whole.frames < first + 4)
        torch.testing.assert_close(whole.tokens[rows], alone.tokens, atol=1e-5, rtol=1e-5)


def test_dynamic_segments_with_known_cuts_equal_given_ones():
    scenes = [make_video(frames=length, seed=seed) for seed, length in enumerate((5, 1, 3))]
    video = replace(
        scenes[0],
        features=torch.cat([scene.features for scene in scenes]),
        shallow=torch.cat([scene.shallow for scene in scenes]),
        deep=torch.cat([scene.deep for scene in scenes]),
        keys=None,
        frame_features=torch.eye(3).repeat_interleave(torch.tensor([5, 1, 3]), 0),
    )
    dynamic = AOTPaper(retention=0.3, segments=DySeg(clips=1, threshold=0.5))(video)
    given = AOTPaper(retention=0.3, segments=((0, 5), (5, 1), (6, 3)))(video)
    torch.testing.assert_close(dynamic.tokens, given.tokens, atol=1e-6, rtol=1e-6)
    assert torch.equal(dynamic.cells, given.cells)


def test_repeated_key_frames_are_unchanged():
    video = make_video(frames=8)
    reduction = AOTPaper(retention=0.5, repeat_key=True, intra_scale=0.0, clip=4)(video)
    first = reduction.frames == 0
    anchors = int(first.sum()) // 2
    untouched = video.pooled()[0][reduction.cells[first][:anchors]]
    assert torch.equal(reduction.tokens[first][:anchors], untouched)
    assert torch.equal(reduction.cells[first][:anchors], reduction.cells[first][anchors:])
    assert not torch.equal(reduction.tokens[first][anchors:], untouched)


def test_without_mass_nothing_moves():
    video = make_video()
    reduction = AOTPaper(retention=0.3, intra_scale=0.0, inter_scale=0.0)(video)
    assert torch.equal(reduction.tokens, video.pooled()[reduction.frames, reduction.cells])


def test_each_field_changes_the_result():
    video = make_video(frames=8, grid=(12, 12))
    base = AOTPaper(retention=0.2)(video).tokens
    changes = [
        {"keep": 0.6}, {"global_ratio": 0.1}, {"windows": 2}, {"clip": 8}, {"segments": "dynamic"}, {"epsilon": 0.3},
        {"intra_scale": 1.0}, {"inter_scale": 0.3}, {"distance": 0.5}, {"nearest": 0.1}, {"merge": "encoder"},
        {"repeat_key": True}, {"time_scale": 1.5}, {"carry_mass": True, "intra_scale": 0.5}, {"saliency_mass": True},
    ]  # fmt: skip
    for change in changes:
        assert not torch.equal(AOTPaper(retention=0.2, **change)(video).tokens, base), change
    mass = AOTPaper(retention=0.2, intra_scale=0.5)(video).tokens
    assert not torch.equal(AOTPaper(retention=0.2, intra_scale=0.5, carry_mass=True)(video).tokens, mass)


@settings(max_examples=30)
@given(
    frames=st.integers(1, 10),
    grid=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    retention=st.floats(1e-3, 1),
    keep=st.floats(0, 1),
    ratio=st.floats(0, 1),
    merge=st.sampled_from(["language", "encoder"]),
    segments=st.sampled_from(["uniform", "dynamic"]),
    repeat=st.booleans(),
)
def test_any_video_and_setting(frames, grid, retention, keep, ratio, merge, segments, repeat):
    video = make_video(frames, grid)
    method = AOTPaper(retention, keep, ratio, merge=merge, segments=segments, repeat_key=repeat)
    reduction = method(video, weights=True)
    assert len(reduction) == method.count(video.frames, video.cells)
    sources = video.features if merge == "encoder" else video.pooled()
    rebuilt = reduction.weights.to_dense() @ sources.flatten(0, 1)
    torch.testing.assert_close(rebuilt, reduction.tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"segments": "dynamic"}, {"merge": "encoder", "repeat_key": True}])
def test_no_host_sync(settings):
    """Meta tensors hold no values: whatever asks for one, as a host sync does, fails."""
    video = make_video(frames=32, grid=(27, 27), pooling=Pooling.BILINEAR)
    bare = object.__new__(VideoTokens)
    for name, value in vars(video).items():
        object.__setattr__(bare, name, value.to("meta") if isinstance(value, torch.Tensor) else value)
    reduction = AOTPaper(retention=0.1, iterations=3, **settings)(bare)
    assert reduction.tokens.shape == (627, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": -0.1}, r"keep must be in \[0, 1\], got -0.1"),
        ({"windows": 0}, "windows must be a whole number"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"epsilon": "x"}, "epsilon must be a finite number above 0, got 'x'"),
        ({"merge": "pixels"}, "merge must be 'language' or 'encoder', got 'pixels'"),
        ({"intra_scale": -1.0}, "intra_scale must be a finite number"),
        ({"intra_scale": "all"}, "intra_scale must be .*got 'all'"),
        ({"time_scale": float("inf")}, "time_scale must be a finite number"),
        ({"segments": "scenes"}, "segments must be"),
        ({"clip": 0}, "clip must be a whole number"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        AOTPaper(**settings)


def test_given_segments_must_fit_the_video():
    with pytest.raises(ValueError, match="cover 5 frames, but the video has 6"):
        AOTPaper(segments=((0, 5),))(make_video(frames=6))


@pytest.mark.parametrize(("retention", "setting"), [(0.10, 0.3), (0.20, 0.4), (0.25, 0.5), (1.0, 1.0)])
def test_default_keep_follows_the_authors_settings(retention, setting):
    assert AOTPaper(retention).kept_share == pytest.approx(setting, abs=0.05)
    assert AOTPaper(retention, keep=0.6).kept_share == 0.6


@pytest.mark.parametrize("merge", ["language", "encoder"])
def test_blocks_of_frames_do_not_change_the_result(monkeypatch, merge):
    video = make_video(7, (6, 6), pooling=Pooling.BILINEAR)
    method = AOTPaper(retention=0.2, merge=merge)
    together = method(video, weights=True)
    monkeypatch.setattr(clipwise, "CPU_BLOCK", 2 * video.cells * video.features.shape[2])
    blocks = method(video, weights=True)
    torch.testing.assert_close(blocks.tokens, together.tokens)
    torch.testing.assert_close(blocks.weights.to_dense(), together.weights.to_dense())
    assert torch.equal(blocks.frames, together.frames)
    assert torch.equal(blocks.cells, together.cells)


def test_compiles_as_one_graph_with_equal_results():
    """A graph without breaks has no step that waits for the device, so that it can be captured as a CUDA graph."""
    video, method = make_video(6, (4, 4), pooling=Pooling.NONE), AOTPaper(0.2, iterations=2)
    compiled = torch.compile(method.reduce, fullgraph=True, backend="eager")(video, weights=False)
    expected = method(video)
    assert torch.equal(compiled.frames, expected.frames)
    assert torch.equal(compiled.cells, expected.cells)
    torch.testing.assert_close(compiled.tokens, expected.tokens)

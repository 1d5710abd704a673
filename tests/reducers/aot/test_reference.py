"""The authors' implementation: equal to every golden file, and sane where theirs cannot run."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import GOLDENS, golden_video, load_golden, make_video, unpack
from vidfold import AOT, Pooling, VideoTokens
from vidfold.reducers.aot.reference_phases import inter_merge, intra_mix, sinkhorn_official

CASES = sorted(path.stem for path in (GOLDENS / "aot").glob("*_v[0-9]*.npz"))


def method(params: dict) -> AOT.reference:
    names = {
        "visual_token_num": "anchors",
        "keep_ratio": "keep",
        "global_ratio": "global_ratio",
        "inter_scale": "inter_scale",
        "inter": "inter",
        "interval": "clip",
        "segments": "segments",
    }
    return AOT.reference(**{names[key]: value for key, value in params.items() if key != "frames"})


def test_seventeen_cases():
    assert len(CASES) == 17


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    golden = load_golden(f"aot/{case}")
    family, params = case.split("_")[0], golden["params"]
    video = golden_video(family, params.get("frames"))
    reduction = method(params)(video)
    assert reduction.tokens.shape == golden["tokens"].shape
    torch.testing.assert_close(reduction.tokens, golden["tokens"], atol=1e-5, rtol=0)

    newline = family == "vid"
    height, width = video.language_grid
    slots = height * (width + newline)
    frames, cells = reduction.frames, reduction.cells
    slot = torch.where(
        cells >= height * width, (cells - height * width) * (width + 1) + width, cells // width * newline + cells
    )
    kept = torch.zeros(video.frames, slots, dtype=torch.bool)
    kept[frames, slot] = True
    expected = golden["frame_keep"] if "frame_keep" in golden else golden["pooled_mask"]  # phase II off: no clips
    assert torch.equal(kept, unpack(expected, slots))
    if "merged" in golden and len(golden["merged"]):
        merged = _merged_rows(reduction, golden["segments"], golden["merged_len"])
        torch.testing.assert_close(reduction.tokens[merged], golden["merged"], atol=1e-5, rtol=0)
    if "index_mask" in golden:
        mask = method(params).index_mask(video.shallow, video.deep, video.grid)
        assert torch.equal(mask, unpack(golden["index_mask"], 729))


def _merged_rows(reduction, segments, merged_len):
    """Rows of the merged anchors: the last `merged_len` of each clip."""
    rows = []
    clip_of_row = torch.bucketize(reduction.frames, segments[:, 0].long(), right=True) - 1
    for clip, length in enumerate(merged_len.tolist()):
        own = (clip_of_row == clip).nonzero()[:, 0]
        rows.append(own[len(own) - length :])
    return torch.cat(rows)


@pytest.mark.parametrize("case", ["mild", "hard", "slow", "cap5", "pair", "pair0", "pair1", "marg"])
def test_sinkhorn_equals_golden(case):
    unit = load_golden("aot/unit")
    kernel, u, v = (unit[f"sk_{case}_{part}"] for part in "Kuv")
    plan, iterations = sinkhorn_official(kernel, u, v, 5 if case == "cap5" else 100)
    assert iterations == int(unit[f"sk_{case}_iters"])
    torch.testing.assert_close(plan, unit[f"sk_{case}_T"], rtol=1e-5, atol=1e-12)


def test_intra_mix_equals_golden_and_depends_on_the_batch():
    unit = load_golden("aot/unit")
    x, mask = unit["intra_x"], unpack(unit["intra_mask"], 729)
    anchors, together = intra_mix(x, mask, (27, 27))
    assert torch.equal(torch.zeros_like(mask).scatter(1, anchors, True), mask)
    torch.testing.assert_close(together @ x, unit["intra_out_batch"], atol=1e-5, rtol=0)
    torch.testing.assert_close(together.sum(2), torch.ones(3, 36))
    for frame in range(3):
        one = slice(frame, frame + 1)
        _, alone = intra_mix(x[one], mask[one], (27, 27))
        torch.testing.assert_close(alone @ x[one], unit[f"intra_out_f{frame}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("step", range(6))
def test_inter_merge_equals_golden(step):
    unit = load_golden("aot/unit")
    gap, keep, scale = (round(value, 6) for value in unit[f"inter{step}_par"].tolist())
    anchors = unit["inter_anchors"]
    kept, merged = inter_merge(anchors, unit[f"inter{step}_src"], int(gap), keep, scale, anchors.shape[1])
    assert torch.equal(kept, unit[f"inter{step}_keep"].bool())
    torch.testing.assert_close(merged, unit[f"inter{step}_new"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("newline", [False, True])
def test_weights_rebuild_the_tokens(newline):
    video = make_video(7, (7, 6), pooling=Pooling.AVERAGE)
    line = torch.randn(16) if newline else None
    video = VideoTokens(video.features, video.grid, video.pooling, video.shallow, video.deep, newline=line)
    reduction = AOT.reference(anchors=20, keep=0.5, clip=3)(video, weights=True)
    sources = video.features.flatten(0, 1)
    if newline:
        sources = torch.cat([sources, line[None]])
    dense = reduction.weights.to_dense()
    torch.testing.assert_close(dense @ sources, reduction.tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dense.sum(1), torch.ones(len(reduction)))
    assert (reduction.newlines > 0) == newline


@settings(max_examples=25)
@given(
    frames=st.integers(1, 9),
    grid=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    share=st.floats(0, 1),
    keep=st.sampled_from([0.0, 0.3, 1.0]),
    ratio=st.sampled_from([0.0, 0.5, 1.0]),
    dynamic=st.booleans(),
)
def test_any_setting_runs(frames, grid, share, keep, ratio, dynamic):
    video = make_video(frames, grid)
    anchors = max(1, round(share * grid[0] * grid[1]))
    reduction = AOT.reference(anchors, keep, ratio, segments="dynamic" if dynamic else None)(video)
    assert torch.isfinite(reduction.tokens).all()
    assert (reduction.frames < frames).all()


def test_identical_tokens_keep_none_of_the_later_frames():
    video = make_video(4, (6, 6))
    flat = VideoTokens(torch.ones_like(video.features), (6, 6), Pooling.NONE, video.shallow, video.deep)
    reduction = AOT.reference(anchors=18)(flat)
    assert set(reduction.frames.tolist()) == {0}
    torch.testing.assert_close(reduction.tokens, torch.ones_like(reduction.tokens))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anchors": 0}, "anchors must be a whole number of at least 1, got 0"),
        ({"keep": 1.2}, r"keep must be in \[0, 1\], got 1.2"),
        ({"global_ratio": -1}, "global_ratio must be"),
        ({"inter_scale": -1.0}, "inter_scale must be a finite number"),
        ({"clip": 3, "segments": "dynamic"}, "clip=3 goes with uniform segments only"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        AOT.reference(**settings)


def test_more_anchors_than_patches_raises():
    with pytest.raises(ValueError, match="anchors=126 is more than the 72 patches"):
        AOT.reference()(make_video())


def test_count_is_not_known_in_advance():
    assert not AOT.reference().exact
    with pytest.raises(ValueError, match="depends on the video's content"):
        AOT.reference().count(32, 196)


def test_cases_are_named_after_their_parameters():
    for case in CASES:
        assert int(re.search(r"_v(\d+)", case)[1]) == load_golden(f"aot/{case}")["params"]["visual_token_num"]

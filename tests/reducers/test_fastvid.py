"""FastVID: the authors' three programs number for number, and one exact budget."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity

import vidfold
from tests import by_hand
from tests.models import builders
from tests.peers import peer_cases, peer_video
from vidfold import VideoTokens
from vidfold.reducers.fastvid import FastVID
from vidfold.reducers.fastvid_budgets import Budget
from vidfold.segments import DySeg, Fixed

CASES = peer_cases("fastvid")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method = FastVID(
        params["r"],
        clips=params["c"],
        threshold=params["tau"],
        context=params["d"],
        stride=params["p"],
        beta=params["beta"],
        original=params["variant"],
    )
    video = peer_video(frames)
    reduction = method(video, weights=True)
    index = reduction.frames * video.cells + reduction.cells
    assert torch.equal(index, golden["src"].long())
    torch.testing.assert_close(reduction.tokens, golden["tokens"], atol=1e-5, rtol=1e-5)
    if params["variant"] != "ov":
        unchanged = (reduction.tokens == video.features.flatten(0, 1)[index]).all(1)
        assert torch.equal(unchanged, golden["is_salient"])
        torch.testing.assert_close(reduction.weights.to_dense().sum(1), torch.ones(len(reduction)))


def _by_hand(method, video):
    """The exact method in plain loops."""
    pooled, frames, cells = video.features, video.frames, video.cells
    total = method.count(frames, cells)
    cut = DySeg(method.clips, method.threshold)(video)
    out = {}
    for start, length in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True):
        if not length:
            continue
        inside = list(range(start, start + length))
        share = total * (start + length) // frames - total * start // frames
        sites = [frame for frame in inside if (start + length - 1 - frame) % method.stride == 0]
        context = int(share * method.context)
        salient, anchors = {}, {}
        quota = {}
        for place, frame in enumerate(sites):
            quota[frame] = context // len(sites) + (len(sites) - 1 - place < context % len(sites))
        for place, frame in enumerate(inside):
            count = (share - context) // length + (place < (share - context) % length)
            salient[frame] = set(video.head_attention[frame].argsort(descending=True)[:count].tolist())
            assert count + quota.get(frame, 0) <= cells, "no overflow here"
            for cell in salient[frame]:
                out[frame * cells + cell] = pooled[frame, cell]
        for frame in sites:
            rest = [cell for cell in range(cells) if cell not in salient[frame]]
            anchors[frame] = []
            if rest and quota[frame]:
                centres, _ = by_hand.density_peaks(pooled[frame, rest], quota[frame], method.neighbours)
                anchors[frame] = sorted(rest[centre] for centre in centres)
        for site in sites:
            joined = {cell: [] for cell in anchors[site]}
            for frame in inside:
                for cell in range(cells):
                    if joined and cell not in salient[frame] and cell not in anchors.get(frame, []):
                        alike = cosine_similarity(pooled[site, anchors[site]], pooled[frame, cell][None], dim=-1)
                        joined[anchors[site][int(alike.argmax())]].append(pooled[frame, cell])
            for cell, members in joined.items():
                own = max(1 / (len(members) + 1), method.beta)
                others = torch.stack(members).mean(0) if members else 0
                out[site * cells + cell] = own * pooled[site, cell] + (1 - own) * others
    return torch.stack([out[key] for key in sorted(out)]), sorted(out)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"retention": 0.3},
        {"clips": 2, "threshold": 0.5},
        {"stride": 1, "beta": 0.1},
        {"context": 0.0},
        {"clips": 1, "threshold": -1.0, "stride": 3, "neighbours": 2},
        {"retention": 0.02},
    ],
)
@pytest.mark.parametrize("frames", [1, 4, 9])
def test_equals_plain_loops(frames, settings):
    video = peer_video(9)
    video = VideoTokens(
        video.features[:frames, :40].contiguous(),
        (8, 5),
        deep=video.deep[:frames, :40].contiguous(),
        head_attention=video.head_attention[:frames, :40].contiguous(),
        frame_features=video.frame_features[:frames],
    )
    method = FastVID(**settings)
    reduction = method(video)
    tokens, index = _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == index
    torch.testing.assert_close(reduction.tokens, tokens, atol=1e-5, rtol=1e-5)


@settings(max_examples=80)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    cells=st.integers(1, 12),
    part=st.floats(0, 1),
    context=st.floats(0, 1),
    stride=st.integers(1, 5),
)
def test_quotas_sum_to_the_total_and_fit(lengths, cells, part, context, stride):
    frames = sum(lengths)
    total = max(1, round(part * frames * cells))
    spans = tuple((sum(lengths[:i]), length) for i, length in enumerate(lengths))
    cut = Fixed(spans)(VideoTokens(torch.ones(frames, cells, 1), (cells, 1)))
    quota = Budget(cut, cells, context, stride).exact(total)
    assert quota.salient.sum() + quota.anchors.sum() == total
    assert (quota.salient >= 0).all()
    assert (quota.salient + quota.anchors <= cells).all()
    assert (quota.anchors <= quota.most).all()
    assert quota.anchors.sum() <= context * total + 1e-9


def test_saliency_is_received_attention_where_there_is_no_pooling_head():
    video = peer_video(9)
    swapped = replace(video, head_attention=None, deep=video.head_attention)
    assert torch.equal(FastVID()(swapped).tokens, FastVID()(video).tokens)


def test_similar_frames_are_merged_in_the_qwen_program():
    video = peer_video(9)
    frozen = replace(video, features=video.features[:1].expand(9, -1, -1).contiguous())
    reduction = FastVID(0.1, clips=2, original="qwen")(frozen)
    assert set(reduction.frames.tolist()) == {0, 8}


@pytest.mark.parametrize("program", ["ov", "lv"])
def test_two_of_the_programs_need_the_pooling_head(program):
    method = FastVID(original=program)
    assert method.needs == {"head_attention"}
    with pytest.raises(ValueError, match=r"fastvid needs VideoTokens\.head_attention, which is None"):
        method(replace(peer_video(9), head_attention=None))
    with pytest.raises(ValueError, match=r"llava_onevision cannot give VideoTokens\.head_attention"):
        vidfold.fold(builders.shared(6, 8), method)


@pytest.mark.parametrize("program", ["ov", "lv", "qwen"])
def test_the_count_of_the_originals_depends_on_the_content(program):
    with pytest.raises(ValueError, match=f"original='{program}'.*depends on the video's content"):
        FastVID(original=program).count(16, 196)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 0}, "clips must be a whole number of at least 1, got 0"),
        ({"threshold": 7}, r"threshold must be a cosine similarity in \[-1, 1\], got 7"),
        ({"context": -1}, r"context must be in \[0, 1\], got -1"),
        ({"stride": 0}, "stride must be a whole number of at least 1, got 0"),
        ({"beta": "x"}, r"beta must be a number in \[0, 1\], got 'x'"),
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
        ({"original": True}, "original must be False, 'ov', 'lv' or 'qwen', got True"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        FastVID(**settings)

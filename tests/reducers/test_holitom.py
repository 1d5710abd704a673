"""HoliTom: the authors' outer stage number for number, and an exact budget."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests import by_hand
from tests.peers import peer_cases, peer_video
from vidfold import VideoTokens
from vidfold.reducers.holitom import HoliTom
from vidfold.segments.optimal import OptimalSeg

CASES = peer_cases("holitom")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method = HoliTom(params["r"], params["tau"], original=True)
    video = peer_video(frames, newline=params.get("newline_value"))
    reduction = method(video, weights=True)
    torch.testing.assert_close(reduction.tokens, golden["tokens"], atol=1e-5, rtol=1e-5)
    if "is_newline" in golden:
        assert torch.equal(reduction.cells >= video.cells, golden["is_newline"])
        return
    assert torch.equal(reduction.frames, golden["src_frame"].long())
    assert torch.equal(reduction.cells, golden["src_pos"].long())
    weights = reduction.weights.to_dense()
    assign = torch.where(weights.any(0), weights.argmax(0), -1).view(frames, -1)
    assert torch.equal(assign, golden["assign"].long())
    for (start, end), (still, _, _) in zip(golden["segments"].tolist(), golden["seg_counts"].tolist(), strict=True):
        rows = (reduction.frames == start) & golden["is_static"].bool()
        assert rows.sum() == still
        if still:
            assert weights[rows].view(still, frames, -1)[:, start : end + 1].any(2).all()


def _by_hand(method, video):
    """The exact method in plain loops."""
    pooled, frames, cells = video.features, video.frames, video.cells
    total = method.count(frames, cells)
    cut = OptimalSeg(method.threshold, method.window)(video)
    spans = [(s, n) for s, n in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True) if n]
    steady = []
    for start, length in spans:
        for cell in range(cells):
            x = pooled[start : start + length, cell]
            if length > 1:
                steady.append((float(cosine_similarity(x[1:], x[:-1], dim=-1).min()), start, length, cell))
    saved, static = 0, {}
    for value, start, length, cell in sorted(steady, key=lambda s: (-s[0], s[1], s[3])):
        saved += length - 1
        if value <= method.threshold or saved > frames * cells - total:
            break
        static.setdefault(start, []).append(cell)
    still = [sorted(static.get(start, [])) for start, _ in spans]
    moving = {
        frame: [cell for cell in range(cells) if cell not in gone]
        for (start, length), gone in zip(spans, still, strict=True)
        for frame in range(start, start + length)
    }
    by_frame = {start: gone for (start, _), gone in zip(spans, still, strict=True)}
    sizes = [len(by_frame.get(frame, [])) for frame in range(frames)] + [len(moving[frame]) for frame in range(frames)]
    counts = by_hand.largest_remainder(total, sizes, [1] * frames + [0] * frames)
    out = {}
    for start, length in spans:
        quota, members = counts[start], by_frame[start]
        if quota and members:
            x = pooled[start : start + length].mean(0)[members]
            _, to = by_hand.density_peaks(x, quota, min(method.neighbours, quota))
            for centre in set(to):
                others = [i for i, other in enumerate(to) if other == centre and i != centre]
                token = method.beta * x[centre] + (1 - method.beta) * x[others].mean(0) if others else x[centre]
                out[start * cells + members[centre]] = token
    for frame in range(frames):
        ranked = sorted(moving[frame], key=lambda cell: -float(video.deep[frame, cell]))
        for cell in ranked[: counts[frames + frame]]:
            out[frame * cells + cell] = pooled[frame, cell]
    return torch.stack([out[key] for key in sorted(out)]), sorted(out)


@pytest.mark.parametrize(
    "settings",
    [{}, {"retention": 0.3}, {"threshold": 0.5}, {"retention": 0.85}, {"window": 2, "beta": 0.2}, {"retention": 0.01}],
)
@pytest.mark.parametrize("frames", [1, 4, 9])
def test_equals_plain_loops(frames, settings):
    video = peer_video(9)
    some = slice(0, 196, 5)
    video = VideoTokens(video.features[:frames, some].contiguous(), (8, 5), deep=video.deep[:frames, some].contiguous())
    method = HoliTom(**settings)
    reduction = method(video)
    tokens, index = _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == index
    torch.testing.assert_close(reduction.tokens, tokens, atol=1e-5, rtol=1e-5)


def test_each_video_is_thinned_by_its_own_ratio():
    method, video = HoliTom(original=True), peer_video(9)
    alone = method(video)
    method(peer_video(16))
    assert torch.equal(method(video).tokens, alone.tokens)


def test_the_count_of_the_original_depends_on_the_content():
    assert not HoliTom(original=True).exact
    with pytest.raises(ValueError, match="depends on the video's content"):
        HoliTom(original=True).count(16, 196)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": -2}, r"threshold must be a cosine similarity in \[-1, 1\], got -2"),
        ({"window": 0}, "window must be a whole number of at least 1, got 0"),
        ({"beta": 1.1}, r"beta must be in \[0, 1\], got 1.1"),
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        HoliTom(**settings)

"""FlashVID: the authors' program number for number, and an exact budget with true means of trees."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests import by_hand
from tests.peers import peer_cases, peer_video
from vidfold import VideoTokens
from vidfold.reducers.flashvid import FlashVID
from vidfold.segments import DySeg

CASES = peer_cases("flashvid")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method = FlashVID(
        params["r"],
        alpha=params["alpha"],
        selection=params["selection"],
        temporal_threshold=params["tthr"],
        segment_threshold=params["sthr"],
        segments=params["minseg"],
        expansion=params["expansion"],
        original=True,
    )
    video = peer_video(frames)
    reduction = method(video)
    index = reduction.frames * video.cells + reduction.cells
    assert torch.equal(index, golden["src"].long())
    assert len(index.unique()) == golden["n_unique"]
    assert torch.equal(torch.bincount(reduction.frames, minlength=frames), golden["frame_counts"].long())
    # At most two tokens stand on one cell; their order is arbitrary.
    twin = torch.arange(len(index))
    twin[:-1][index[1:] == index[:-1]] += 1
    twin[1:][index[1:] == index[:-1]] -= 1
    off = (reduction.tokens - golden["tokens"]).abs().amax(1)
    swapped = (reduction.tokens - golden["tokens"][twin]).abs().amax(1)
    scale = golden["tokens"].abs().amax(1).clamp_min(1)
    assert (torch.minimum(off, swapped) <= 1e-5 * scale).all()
    assert torch.equal(off > 1e-5 * scale, (off > 1e-5 * scale)[twin])


def _selected(method, video, frame, mean, count):
    """ADTS by the definition, all distances of chosen tokens looked at anew each time."""
    x, cells = video.features[frame].double(), video.cells
    weight = video.deep[frame].double()
    if method.selection == "attn_div_v2":
        weight = weight * (x @ mean.double()).clamp_min(0)
    distance = 1 - cosine_similarity(x[:, None], x[None], dim=-1)
    nearest = [min(float(distance[i, j]) for i in range(cells) if i != j) if cells > 1 else 2.0 for j in range(cells)]
    chosen = []
    while len(chosen) < count:
        score = {
            j: (min(float(distance[i, j]) for i in chosen) if chosen else nearest[j]) * float(weight[j])
            for j in range(cells)
            if j not in chosen
        }
        chosen.append(max(score, key=lambda j: (score[j], -j)))
    return sorted(chosen)


def _by_hand(method, video):
    """The exact method in plain loops, trees as lists of their tokens."""
    x, frames, cells = video.features, video.frames, video.cells
    total = method.count(frames, cells)
    budget = [total * (frame + 1) // frames - total * frame // frames for frame in range(frames)]
    cut = DySeg(method.segments, method.segment_threshold)(video)
    out = {}
    for start, length in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True):
        inside = range(start, start + length)
        chosen = {}
        for frame in inside:
            mean = x[start : start + length].mean((0, 1))
            chosen[frame] = _selected(method, video, frame, mean, math.ceil(budget[frame] * method.alpha))
            out |= {(frame, cell): x[frame, cell] for cell in chosen[frame]}
        free = {frame: [cell for cell in range(cells) if cell not in chosen[frame]] for frame in inside}
        spare = sum(budget[frame] - len(chosen[frame]) for frame in inside)
        links = []
        for frame in inside[1:]:
            for cell in free[frame] if free[frame - 1] else ():
                alike = cosine_similarity(x[frame - 1, free[frame - 1]], x[frame, cell][None], dim=-1)
                links.append((float(alike.max()), frame, cell, free[frame - 1][int(alike.argmax())]))
        links.sort(key=lambda link: -link[0])
        links = [link for link in links if link[0] > method.temporal_threshold]
        links = links[: sum(map(len, free.values())) - spare]
        trees = {(frame, cell): [x[frame, cell]] for frame in inside for cell in free[frame]}
        for _, frame, cell, before in sorted(links, key=lambda link: -link[1]):
            trees[frame - 1, before] += trees.pop((frame, cell))
        roots = {frame: sorted(cell for f, cell in trees if f == frame) for frame in inside}
        counts = by_hand.largest_remainder(spare, [len(roots[frame]) for frame in inside], [0] * length)
        for frame, count in zip(inside, counts, strict=True):
            if count:
                values = torch.stack([torch.stack(trees[frame, cell]).mean(0) for cell in roots[frame]])
                _, to = by_hand.density_peaks(values, count, min(method.neighbours, count))
                for centre in set(to):
                    members = [i for i, other in enumerate(to) if other == centre]
                    out[frame, roots[frame][centre]] = values[members].mean(0)
    return torch.stack([out[key] for key in sorted(out)]), [frame * cells + cell for frame, cell in sorted(out)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"retention": 0.3, "selection": "attn_div"},
        {"segments": 2, "segment_threshold": 0.5},
        {"segments": 1, "segment_threshold": -1.0, "temporal_threshold": 0.5, "retention": 0.2},
        {"segments": 1, "segment_threshold": -1.0, "temporal_threshold": -1.0, "alpha": 0.2},
        {"alpha": 1.0},
        {"alpha": 0.0, "retention": 0.7},
        {"retention": 0.02},
    ],
)
@pytest.mark.parametrize("frames", [1, 4, 9])
def test_equals_plain_loops(frames, settings):
    video = peer_video(9)
    video = VideoTokens(video.features[:frames, :40].contiguous(), (8, 5), deep=video.deep[:frames, :40].contiguous())
    method = FlashVID(**settings)
    reduction = method(video)
    tokens, index = _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == index
    torch.testing.assert_close(reduction.tokens, tokens, atol=1e-5, rtol=1e-5)


def test_tree_is_the_mean_of_its_tokens():
    """A still video of eight frames: every tree is one token, seven times merged with itself."""
    frame = torch.randn(1, 12, 6, generator=torch.Generator().manual_seed(3))
    still = VideoTokens(frame.repeat(8, 1, 1), (4, 3), deep=torch.rand(1, 12).repeat(8, 1))
    reduction = FlashVID(1 / 8, alpha=0.0, segments=1, segment_threshold=-1.0)(still)
    torch.testing.assert_close(reduction.tokens, frame[0][reduction.cells])
    assert reduction.frames.tolist() == [0] * 12


def test_tokens_are_unique():
    video = peer_video(9)
    centred = VideoTokens(video.features - video.features.mean((0, 1)), video.grid, deep=video.deep)
    reduction = FlashVID(0.9, alpha=1.0)(centred)
    assert len((reduction.frames * 196 + reduction.cells).unique()) == len(reduction)
    original = FlashVID(0.9, alpha=1.0, expansion=1.0, original=True)(centred)
    assert len(original) >= 9 * 177
    assert len((original.frames * 196 + original.cells).unique()) < len(original)


def test_sums_have_no_weights():
    with pytest.raises(ValueError, match="adds tokens up"):
        FlashVID(original=True)(peer_video(9), weights=True)


def test_the_count_of_the_original_depends_on_the_content():
    with pytest.raises(ValueError, match="depends on the video's content"):
        FlashVID(original=True).count(16, 196)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 2}, r"alpha must be in \[0, 1\], got 2"),
        ({"selection": "attn"}, "selection must be 'attn_div_v2' or 'attn_div', got 'attn'"),
        ({"temporal_threshold": 2}, "temporal_threshold must be a cosine similarity"),
        ({"segment_threshold": None}, "segment_threshold must be a cosine similarity .* got None"),
        ({"segments": 0}, "segments must be a whole number of at least 1, got 0"),
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
        ({"expansion": 0}, "expansion must be positive, got 0"),
        ({"expansion": "x"}, "expansion must be a finite number"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        FlashVID(**settings)

"""PruneVid: the authors' program number for number, and an exact budget."""

from itertools import groupby, product

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests import by_hand
from tests.peers import peer_cases, peer_video
from vidfold import VideoTokens
from vidfold.reducers.prunevid import PruneVid, contiguous

CASES = peer_cases("prunevid")


def original(params, **settings):
    names = {"cluster_ratio": "cluster_ratio", "segment_ratio": "segment_ratio", "tau": "threshold", "k": "neighbours"}
    return PruneVid(original=True, **{names[key]: value for key, value in params.items()}, **settings)


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method, video = original(params), peer_video(frames)
    reduction = method(video, weights=True)
    torch.testing.assert_close(reduction.tokens, golden["tokens"], atol=1e-5, rtol=1e-5)
    assert torch.equal(method.frame_labels(video.features), golden["frame_labels"].long())
    cut = contiguous(golden["frame_labels"].long())
    assert torch.equal(cut.lengths[cut.lengths > 0], golden["window_sizes"].long())
    assign = reduction.weights.to_dense().argmax(0).view(frames, -1)
    assert torch.equal(assign, golden["assign"].long())


def _contiguous_by_hand(labels):
    runs = [[label, len(list(run)), True] for label, run in groupby(labels)]
    longest = {label: max(length for other, length, _ in runs if other == label) for label in labels}
    kept = [[label, length, length > 1 and length == longest[label]] for label, length, _ in runs]
    merged = [[keep, sum(run[1] for run in group), group[0][0]] for keep, group in _stretches(kept)]
    result = []
    for place, (keep, length, label) in enumerate(merged):
        if not keep:
            left = len(list(next(iter(groupby(reversed(result))))[1])) if result else 0
            right, right_label = merged[place + 1][1:] if place + 1 < len(merged) else (0, 0)
            label = right_label if right > left else result[-1] if result else 0
        result += [label] * length
    return [len(list(run)) for _, run in groupby(result)]


def _stretches(runs):
    """Runs that stay one by one, those given up in stretches."""
    for keep, group in groupby(runs, key=lambda run: run[2]):
        if keep:
            yield from ((True, [run]) for run in group)
        else:
            yield False, list(group)


@pytest.mark.parametrize("frames", range(1, 7))
def test_contiguous_equals_plain_loops(frames):
    for labels in product(range(min(3, frames)), repeat=frames):
        cut = contiguous(torch.tensor(labels))
        assert cut.lengths[cut.lengths > 0].tolist() == _contiguous_by_hand(labels), labels


def _by_hand(method, video):
    """The exact method in plain loops; steadiness from all pairs of frames."""
    pooled, frames, cells = video.features, video.frames, video.cells
    total = method.count(frames, cells)
    count = max(1, int(method.segment_ratio * frames))
    centres, joined = by_hand.density_peaks(pooled.mean(1), count, method.neighbours)
    cut = contiguous(torch.tensor([centres.index(frame) for frame in joined]))
    spans = [(s, n) for s, n in zip(cut.starts.tolist(), cut.lengths.tolist(), strict=True) if n]
    steady = []
    for start, length in spans:
        for cell in range(cells):
            x = pooled[start : start + length, cell]
            pairs = cosine_similarity(x[:, None], x[None], dim=-1)
            if length > 1:
                steady.append((float((pairs.sum() - length) / (length * (length - 1))), start, length, cell))
    saved, static = 0, {}
    for value, start, length, cell in sorted(steady, key=lambda s: (-s[0], s[1], s[3])):
        saved += length - 1
        if value <= method.threshold or saved > frames * cells - total:
            break
        static.setdefault(start, []).append(cell)
    sets = []
    for start, length in spans:
        still = sorted(static.get(start, []))
        x = pooled[start : start + length].mean(0)
        moving = [cell for cell in range(cells) if cell not in still]
        sets += [(frame, moving, pooled[frame]) for frame in range(start, start + length)]
        sets.append((start, still, x))
    sets.sort(key=lambda s: s[0])
    counts = by_hand.largest_remainder(total, [len(cells) for _, cells, _ in sets], [1] * len(sets))
    out = {}
    for (frame, members, values), quota in zip(sets, counts, strict=True):
        if quota:
            x = values[members]
            _, to = by_hand.density_peaks(x, quota, method.neighbours)
            for centre in set(to):
                mine = [i for i, other in enumerate(to) if other == centre]
                out[frame * cells + members[centre]] = x[mine].mean(0)
    return torch.stack([out[key] for key in sorted(out)]), sorted(out)


@pytest.mark.parametrize("settings", [{}, {"retention": 0.3}, {"threshold": 0.6}, {"retention": 0.85}])
@pytest.mark.parametrize("frames", [1, 4, 9])
def test_equals_plain_loops(frames, settings):
    video = peer_video(9)
    cells = slice(0, 196, 5)
    video = VideoTokens(video.features[:frames, cells].contiguous(), (8, 5))
    method = PruneVid(**settings)
    reduction = method(video)
    tokens, index = _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == index
    torch.testing.assert_close(reduction.tokens, tokens, atol=1e-5, rtol=1e-5)


def test_the_count_of_the_original_depends_on_the_content():
    with pytest.raises(ValueError, match="depends on the video's content"):
        PruneVid(original=True).count(16, 196)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 2}, r"threshold must be a cosine similarity in \[-1, 1\], got 2"),
        ({"segment_ratio": 0}, r"segment_ratio must be in \(0, 1\], got 0"),
        ({"cluster_ratio": 1.5}, r"cluster_ratio must be in \[0, 1\], got 1.5"),
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PruneVid(**settings)

"""DynVid: against plain loops over its description, in float64."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from tests import by_hand
from tests.conftest import make_video
from vidfold import Pooling
from vidfold.reducers import DynVid
from vidfold.reducers.dynvid import standing


def _standing(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
    return [0.5 if deviation < 1e-8 else 1 / (1 + math.exp((mean - value) / deviation)) for value in values]


def _segments(method: DynVid, unit: torch.Tensor) -> list[list[int]]:
    means = [frame.mean(0) / frame.mean(0).norm() for frame in unit]
    frames = len(means)
    similar = _standing([float(one @ other) for one, other in pairwise(means)])
    cuts = {place for place, value in enumerate(similar) if value < method.cut_below}
    for place in sorted(range(frames - 1), key=similar.__getitem__):
        if len(cuts) < min(method.clips, frames) - 1:
            cuts.add(place)
    segments = [[0]]
    for frame in range(1, frames):
        segments.append([frame]) if frame - 1 in cuts else segments[-1].append(frame)
    return segments


def _by_hand(method: DynVid, video) -> dict[int, torch.Tensor]:
    """Position -> token, by loops over segments, anchors and tokens."""
    pooled = video.pooled().double()
    frames, cells, _ = pooled.shape
    unit = torch.nn.functional.normalize(pooled, dim=-1)
    attended = [_standing(frame.tolist()) for frame in video.pool(video.deep)]
    lively = []
    for frame in range(frames):
        ahead, behind = (
            (unit[frame] @ unit[other].T).amax(1).clamp_min(0).tolist() if 0 <= other < frames else [0.0] * cells
            for other in (frame + 1, frame - 1)
        )
        lively.append([max(0, 1 - max(a, b)) + abs(a - b) for a, b in zip(ahead, behind, strict=True)])

    segments = _segments(method, unit)
    total = method.count(frames, cells)
    weights = []
    for segment in segments:
        rows = unit[segment].flatten(0, 1)
        gram = rows.T @ rows
        weights.append(0.95 * float(gram.trace() ** 2 / (gram**2).sum()) + 0.05 * len(rows))
    bounds = [len(segment) * cells - 1 for segment in segments]
    budgets = [1 + each for each in by_hand.proportional(total - len(segments), weights, bounds)]

    result = {}
    for segment, budget in zip(segments, budgets, strict=True):
        rows, units = pooled[segment].flatten(0, 1), unit[segment].flatten(0, 1)
        moving = _standing([value for frame in segment for value in lively[frame]])
        sums = [a + b for a, b in zip([value for frame in segment for value in attended[frame]], moving, strict=True)]
        weight = torch.tensor([max(1e-4, value) for value in _standing(sums)], dtype=torch.float64)
        cosine = (units @ units.T).clamp_min(0)
        anchors, covered = [], torch.zeros(len(rows), dtype=torch.float64)
        for _ in range(budget):
            gains = (weight[:, None] * (cosine - covered[:, None]).clamp_min(0)).sum(0)
            anchors.append(max((j for j in range(len(rows)) if j not in anchors), key=lambda j: gains[j]))
            covered = torch.maximum(covered, cosine[:, anchors[-1]])
        anchors.sort()
        parts = torch.zeros(len(anchors), len(rows), dtype=torch.float64)
        for token in set(range(len(rows))) - set(anchors):
            similar = units[token] @ units[anchors].T
            best = similar.topk(min(method.nearest, len(anchors))).indices
            parts[best, token] = (similar[best] / method.temperature).softmax(0)
        for place, anchor in enumerate(anchors):
            token = rows[anchor]
            if parts[place].sum() > 1e-8:
                token = method.own * token + (1 - method.own) * (parts[place] @ rows) / parts[place].sum()
            result[segment[0] * cells + anchor] = token
    return result


@pytest.mark.parametrize(
    ("fields", "grid"),
    [
        ({}, (5, 6)),
        ({"retention": 0.3, "clips": 3}, (4, 5)),
        ({"retention": 0.25, "clips": 1, "cut_below": 0.2, "nearest": 3, "temperature": 0.1}, (5, 4)),
        ({"retention": 0.6, "own": 0.5}, (3, 5)),
    ],
)
def test_equals_plain_loops(fields, grid):
    video = make_video(frames=9, grid=grid, channels=32, pooling=Pooling.NONE)
    features = video.features.clone()
    features[5:] += 2 * torch.randn(features.shape[1:], generator=torch.Generator().manual_seed(1))
    video = replace(video, features=features)
    method = DynVid(**{"retention": 0.15} | fields)
    reduction, expected = method(video, weights=True), _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == sorted(expected)
    tokens = torch.stack([expected[place] for place in sorted(expected)]).float()
    torch.testing.assert_close(reduction.tokens, tokens, rtol=1e-4, atol=1e-4)


def test_no_token_joins_an_anchor_of_another_segment():
    video = make_video(frames=12, grid=(4, 4), pooling=Pooling.NONE)
    method = DynVid(retention=0.2, clips=4)
    reduction = method(video, weights=True)
    unit = torch.nn.functional.normalize(video.pooled(), dim=-1)
    clip_of = method.cut(unit).clip_of
    rows, sources = reduction.weights.coalesce().indices()
    assert torch.equal(clip_of[reduction.frames[rows]], clip_of[sources // video.cells])


def test_fewer_tokens_than_segments():
    video = make_video(frames=12, grid=(4, 4))
    reduction = DynVid(retention=1e-6)(video, weights=True)
    assert len(reduction) == 1
    assert torch.isfinite(reduction.tokens).all()


def test_of_equal_values_none_stands_out():
    assert torch.equal(standing(torch.ones(2, 5)), torch.full((2, 5), 0.5))
    assert torch.equal(standing(torch.ones(1)), torch.tensor([0.5]))
    assert standing(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx(_standing([1, 2, 3]))

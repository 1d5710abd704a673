"""GleanVID: against plain loops over the paper's equations, in float64."""

import math
from dataclasses import replace

import pytest
import torch

from tests import by_hand
from tests.conftest import make_video
from tests.waiting import Waits
from vidfold import Pooling
from vidfold.reducers import GleanVID, gleanvid
from vidfold.reducers.gleanvid import first_direction


def _span(rows: list[torch.Tensor]) -> torch.Tensor:
    """The projection onto the span of some rows."""
    matrix = torch.stack(rows)
    return torch.linalg.pinv(matrix, rtol=1e-7) @ matrix


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / one.norm() / other.norm())


def _scaled(values: list[float]) -> list[float]:
    return [(value - min(values)) / (max(values) - min(values)) for value in values]


def _by_hand(method: GleanVID, video) -> list[int]:
    """Flat indices of the tokens kept, by loops over frames, cells and tokens."""
    pooled = video.pooled().double()
    frames, cells, _ = pooled.shape
    height, width = video.language_grid
    total = method.count(frames, cells)

    mean = pooled.mean((0, 1))
    direction = torch.linalg.svd((pooled - mean).flatten(0, 1), full_matrices=False)[2][0]
    plain = [[x - mean - ((x - mean) @ direction) * direction + mean for x in frame] for frame in pooled]

    def around(values, cell):
        row, column = cell // width // 2 * 2, cell % width // 2 * 2
        near = [
            values[i * width + j]
            for i in range(row, min(row + 2, height))
            for j in range(column, min(column + 2, width))
        ]
        return torch.stack(near).mean(0)

    novel = []
    for frame in range(frames):
        parts = []
        for cell in range(cells):
            here = around(plain[frame], cell)
            if frame:
                earlier = torch.stack([around(plain[t], cell) for t in range(frame)])
                gram, known = earlier @ earlier.T, earlier @ here
                ridge = method.tolerance * gram.diagonal().mean() * torch.eye(frame, dtype=torch.float64)
                parts.append(math.sqrt(max(0, float(here @ here - known @ torch.linalg.solve(gram + ridge, known)))))
            else:
                parts.append(float(here.norm()))
        novel.append(sum(parts))
    ranked = sorted(novel)
    gini = 2 * sum((i + 1) * value for i, value in enumerate(ranked)) / (frames * sum(novel)) - (frames + 1) / frames
    even = method.most_even - (method.most_even - method.least_even) * gini
    weights = [even / frames + (1 - even) * value / sum(novel) for value in novel]
    budget = by_hand.proportional(total, weights, [cells] * frames)

    kept, evidence = [], []
    for frame in range(frames):
        of_frame = pooled[frame].mean(0)
        fit = []
        for cell in range(cells):
            token = pooled[frame, cell]
            margin = _cosine(token, around(pooled[frame], cell)) - _cosine(token, of_frame)
            fit.append(math.log1p(math.exp(method.sharpness * margin)) / method.sharpness)
        known = _span(evidence) if evidence else torch.zeros_like(_span([direction]))
        apart = [float((token - token @ known).norm()) for token in plain[frame]]
        score = [one + other for one, other in zip(_scaled(fit), _scaled(apart), strict=True)]
        chosen = sorted(sorted(range(cells), key=lambda cell: -score[cell])[: budget[frame]])
        kept += [frame * cells + cell for cell in chosen]
        evidence += [plain[frame][cell] for cell in chosen]
    return kept


@pytest.mark.parametrize(
    ("fields", "grid"),
    [
        ({"retention": 0.1}, (6, 8)),
        ({"retention": 0.2}, (5, 7)),
        ({"retention": 0.15, "least_even": 0, "most_even": 0}, (6, 6)),
        ({"retention": 0.1, "sharpness": 20.0}, (4, 9)),
    ],
)
def test_equals_plain_loops(fields, grid):
    video = make_video(frames=7, grid=grid, channels=64, pooling=Pooling.NONE)
    generator = torch.Generator().manual_seed(1)
    # A direction that stands out, as in the features of vision towers, so that it is found to all digits.
    shared = 4 * torch.randn(7, video.cells, 1, generator=generator) * torch.randn(64, generator=generator)
    video = replace(video, features=video.features * torch.linspace(0.5, 2, 7)[:, None, None] + shared + 1)
    method = GleanVID(**fields)
    reduction = method(video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == _by_hand(method, video)


def test_first_direction_is_the_first_singular_vector():
    rows = torch.randn(200, 40, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 3, 40)
    expected = torch.linalg.svd(rows.double())[2][0].float()
    assert abs(first_direction(rows) @ expected) > 1 - 1e-4
    assert torch.equal(first_direction(torch.zeros(5, 3)), torch.zeros(3))
    torch.testing.assert_close(first_direction(torch.eye(2)[:1]).abs(), torch.tensor([1.0, 0.0]))


def test_a_frame_with_something_new_gets_more():
    video = make_video(frames=8, channels=64, pooling=Pooling.NONE)
    still = video.features[:1].repeat(8, 1, 1)
    still[5:] = video.features[5:6]
    kept = GleanVID(retention=0.2)(replace(video, features=still)).frames.bincount(minlength=8)
    assert kept[0] > kept[1]
    assert kept[5] > kept[4]
    assert kept[1:5].amax() - kept[1:5].amin() <= 1


def test_no_frame_gets_more_than_it_has():
    video = make_video(frames=6, grid=(3, 3), channels=32, pooling=Pooling.NONE)
    still = replace(video, features=video.features[:1].expand(6, -1, -1))
    kept = GleanVID(retention=0.5, least_even=0, most_even=0)(still).frames.bincount(minlength=6)
    assert kept.sum() == 27
    assert kept[0] == 9


def test_what_is_spanned_adds_nothing():
    """Once all directions are kept, rounding does not choose: only the fit does."""
    video = make_video(frames=6, grid=(6, 6), channels=4, pooling=Pooling.NONE)
    method = GleanVID(retention=0.5)
    pooled = video.pooled()
    last = method(video).frames == 5
    fit = method.fit(pooled, video.language_grid)[5]
    assert set(method(video).cells[last].tolist()) == set(fit.topk(int(last.sum())).indices.tolist())


def test_the_host_does_not_wait(monkeypatch):
    """As on a device that may not be asked."""
    video = make_video(frames=6, channels=32)
    expected = GleanVID(retention=0.2)(video)
    monkeypatch.setattr(gleanvid, "host_bound", lambda values, bound: bound)
    with Waits() as counted:
        pooled = video.pooled()
        plain = gleanvid.debiased(pooled)
        method = GleanVID(retention=0.2)
        novel = gleanvid.novelty(plain, video.language_grid, method.tolerance)
        budget = method.budget(novel, video.cells, method.count(6, video.cells))
        kept = method.choose(plain, method.fit(pooled, video.language_grid), budget)
    assert counted.waits == 0
    assert torch.equal(kept.flatten().nonzero()[:, 0], expected.frames * video.cells + expected.cells)

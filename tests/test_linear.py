"""Linear mixes against plain loops and dense matrices."""

import pytest
import torch

from tests.conftest import make_video
from vidfold import Pooling
from vidfold.linear import Mix, counts, sum_rows


def random_mix(seed: int, sources: int, rows: int, edges: int) -> Mix:
    """Any edges at all: several from one source, several between two rows, some that are dropped."""
    rng = torch.Generator().manual_seed(seed)
    source = torch.randint(sources, (edges,), generator=rng)
    target = torch.randint(rows + 1, (edges,), generator=rng)
    return Mix(target, torch.rand(edges, generator=rng), sources, rows, source)


def test_means_and_blends():
    values = torch.tensor([[1.0], [2.0], [6.0], [10.0], [50.0]])
    target = torch.tensor([0, 0, 0, 3, 5])
    assert Mix.means(target, 5)(values).tolist() == [[3], [0], [0], [10], [0]]
    torch.testing.assert_close(Mix.blends(target, 0.25)(values)[0], torch.tensor([0.25 * 1 + 0.75 * 4]))
    assert Mix.blends(target, 0.25)(values)[3] == 10, "alone, it stays"


@pytest.mark.parametrize("seed", range(5))
def test_a_mix_is_its_matrix(seed):
    mix, values = random_mix(seed, 6, 4, 15), torch.randn(6, 3)
    expected = torch.zeros(4, 3)
    for source, target, share in zip(mix.source, mix.target, mix.share, strict=True):
        if target < 4:
            expected[target] += share * values[source]
    torch.testing.assert_close(mix(values), expected)
    torch.testing.assert_close(mix.matrix().to_dense() @ values, expected)
    order = torch.tensor([3, 0, 2])
    torch.testing.assert_close(mix.keep(order)(values), expected[order])


def test_a_selection_keeps_rows_unchanged():
    values, index = torch.randn(6, 3), torch.tensor([4, 1, 1])
    selection = Mix.selection(index, 6)
    assert torch.equal(selection(values), values[index])
    assert torch.equal(selection.matrix().to_dense(), torch.eye(6)[index])


@pytest.mark.parametrize("seed", range(5))
def test_two_mixes_as_one(seed):
    values, first = torch.randn(6, 3), random_mix(seed, 6, 5, 12)
    second = Mix.means(torch.tensor([2, 3, 2, 0, 2]), 3)
    both = first.then(second)
    assert (both.sources, both.rows) == (6, 3)
    torch.testing.assert_close(both(values), second(first(values)))


def test_sums():
    values = torch.randn(5, 3)
    target = torch.tensor([1, 1, 0, 3, 1])
    expected = torch.stack([values[target == row].sum(0) for row in range(4)])
    torch.testing.assert_close(sum_rows(values, target, 4), expected)
    assert counts(target, 4).tolist() == [1, 3, 0, 1]
    assert sum_rows(torch.ones(5, 1, dtype=torch.int64), target, 4).flatten().tolist() == [1, 3, 0, 1]


def test_reduction():
    video = make_video(frames=2, grid=(2, 2), pooling=Pooling.NONE)
    mix = Mix.means(torch.tensor([0, 0, 0, 8, 4, 5, 4, 8]), 8)
    pooled, places = video.features, torch.tensor([4, 0, 5])
    reduction = mix.keep(places).reduction(video, pooled, places, weights=True)
    assert reduction.frames.tolist() == [1, 0, 1]
    assert reduction.cells.tolist() == [0, 0, 1]
    expected = torch.stack([pooled[1, [0, 2]].mean(0), pooled[0, :3].mean(0), pooled[1, 1]])
    torch.testing.assert_close(reduction.tokens, expected)
    torch.testing.assert_close(reduction.weights.to_dense() @ pooled.flatten(0, 1), expected)

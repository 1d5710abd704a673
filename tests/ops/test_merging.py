import torch

from tests.conftest import make_video
from vidfold import Pooling
from vidfold.ops.merging import Merge, fold_merged, occurrences, reading_order, sum_rows, weighted_sums


def test_means_and_blends():
    values = torch.tensor([[1.0], [2.0], [6.0], [10.0], [50.0]])
    target = torch.tensor([0, 0, 0, 3, 5])
    assert Merge.means(target)(values).tolist() == [[3], [0], [0], [10], [0]]
    torch.testing.assert_close(Merge.blends(target, 0.25)(values)[0], torch.tensor([0.25 * 1 + 0.75 * 4]))
    assert Merge.blends(target, 0.25)(values)[3] == 10, "alone, it stays"


def test_two_steps_as_one():
    values = torch.randn(6, 3)
    first = Merge.means(torch.tensor([0, 0, 2, 3, 3, 6]))
    second = Merge.means(torch.tensor([2, 6, 2, 3, 6, 6]))
    torch.testing.assert_close(first.then(second)(values), second(first(values)))


def test_sums():
    values = torch.randn(5, 3)
    target = torch.tensor([1, 1, 0, 3, 1])
    expected = torch.stack([values[target == row].sum(0) for row in range(4)])
    torch.testing.assert_close(sum_rows(values, target, 4), expected)
    torch.testing.assert_close(weighted_sums(values, torch.arange(5), target, torch.ones(5), 4), expected)
    assert occurrences(target, 4).tolist() == [1, 3, 0, 1]
    assert sum_rows(torch.ones(5, 1, dtype=torch.int64), target, 4).flatten().tolist() == [1, 3, 0, 1]


def test_a_device_sums_as_the_host_does():
    values, source = torch.randn(7, 4), torch.tensor([0, 3, 3, 6, 5])
    target, share = torch.tensor([0, 0, 2, 1, 1]), torch.rand(5)
    host = weighted_sums(values, source, target, share, 3)
    torch.testing.assert_close(sum_rows(share[:, None] * values[source], target, 3), host)


def test_reading_order():
    kept = torch.tensor([[False, True], [True, True]])
    assert reading_order(kept, 3).tolist() == reading_order(kept, None).tolist() == [1, 2, 3]


def test_fold():
    video = make_video(frames=2, grid=(2, 2), pooling=Pooling.NONE)
    merge = Merge.means(torch.tensor([0, 0, 0, 8, 4, 5, 4, 8]))
    pooled = video.features
    reduction = fold_merged(video, pooled, merge, torch.tensor([4, 0, 5]), weights=True)
    assert reduction.frames.tolist() == [1, 0, 1]
    assert reduction.cells.tolist() == [0, 0, 1]
    expected = torch.stack([pooled[1, [0, 2]].mean(0), pooled[0, :3].mean(0), pooled[1, 1]])
    torch.testing.assert_close(reduction.tokens, expected)
    torch.testing.assert_close(reduction.weights.to_dense() @ pooled.flatten(0, 1), expected)

"""Groups of tokens against plain loops."""

import torch

from tests.conftest import make_video
from vidfold.ops import grouping

LABELS = torch.tensor([2, -1, 0, 2, 4, 0, -1, 2])


def test_sums_sizes_and_first_members_equal_plain_loops():
    values = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    sums, sizes = grouping.group_sums(values, LABELS, 5), grouping.group_sizes(LABELS, 5)
    first = grouping.first_members(LABELS, 5)
    for group in range(5):
        members = [source for source in range(8) if LABELS[source] == group]
        torch.testing.assert_close(sums[group], sum((values[m] for m in members), torch.zeros(3)))
        assert sizes[group] == len(members)
        assert first[group] == min(members, default=8)


def test_groups_are_renumbered_by_first_member():
    labels, first = grouping.by_first_member(LABELS, 5)
    assert labels.tolist() == [0, -1, 1, 0, 2, 1, -1, 0]
    assert first.tolist() == [0, 2, 4, 8, 8]


def test_matrix_gives_means_unless_told_otherwise():
    values = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    labels, _ = grouping.by_first_member(LABELS, 5)
    means = grouping.group_matrix(labels, 3).to_dense() @ values
    torch.testing.assert_close(means[1], (values[2] + values[5]) / 2)
    sums = grouping.group_matrix(labels, 3, torch.ones(8)).to_dense() @ values
    torch.testing.assert_close(sums, grouping.group_sums(values, labels, 3))


def test_merged_groups_are_a_reduction():
    video = make_video(frames=2, grid=(4, 4))
    labels = torch.tensor([0, 0, -1, 1, 0, 1, 2, -1])
    reduction = grouping.merge_groups(video, labels, 3, torch.tensor([0, 3, 6]), weights=True)
    flat = video.pooled().flatten(0, 1)
    torch.testing.assert_close(reduction.tokens[0], flat[[0, 1, 4]].mean(0))
    assert torch.equal(reduction.tokens[2], flat[6])
    assert reduction.frames.tolist() == [0, 0, 1]
    assert reduction.cells.tolist() == [0, 3, 2]
    torch.testing.assert_close(reduction.weights.to_dense() @ flat, reduction.tokens)

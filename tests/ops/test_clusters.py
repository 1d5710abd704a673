import pytest
import torch

from tests import by_hand
from vidfold.linear import Mix
from vidfold.ops import clusters as clustering
from vidfold.ops.clusters import density_peaks


def clusters(points, count, neighbours=4, group=None, **settings):
    group = torch.zeros(points.shape[:2], dtype=torch.int64) if group is None else group
    return density_peaks(points, group, torch.as_tensor(count).expand(len(points), -1), neighbours, **settings)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 11, 30])
def test_equals_plain_loops(seed, count):
    points = torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(seed))
    found = clusters(points, [count])
    for item in range(3):
        centres, joined = by_hand.density_peaks(points[item], count, 4)
        assert found.rank[item].argsort()[:count].tolist() == centres
        assert found.nearest[item].tolist() == joined
        assert found.centre[item].nonzero()[:, 0].tolist() == sorted(centres)


def test_equal_points_go_by_index():
    points = torch.ones(1, 6, 3)
    found = clusters(points, [2])
    assert found.rank.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert found.centre.tolist() == [[True, True, False, False, False, False]]
    pairs = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])[None]
    assert clusters(pairs, [3], neighbours=2).centre.nonzero()[:, 1].tolist() == [0, 2, 4]


@pytest.mark.parametrize("padded", [False, True])
def test_sets_of_an_item_are_clustered_independently(padded, monkeypatch):
    if padded:  # as where the host cannot know the sizes
        monkeypatch.setattr(clustering, "host_bound", lambda values, bound: bound)
    generator = torch.Generator().manual_seed(5)
    points = torch.randn(4, 13, 6, generator=generator)
    group = torch.randint(-1, 2, (4, 13), generator=generator)
    group[2] = -1
    counts = torch.tensor([[2, 3], [1, 0], [1, 1], [20, 2]])
    found = density_peaks(points, group, counts, 3)
    for item in range(4):
        assert (found.nearest[item][group[item] < 0] == 13).all()
        assert not found.centre[item][group[item] < 0].any()
        for which in range(2):
            members = (group[item] == which).nonzero()[:, 0]
            if counts[item, which] == 0:
                assert (found.nearest[item, members] == 13).all()
            elif len(members):
                _, joined = by_hand.density_peaks(points[item, members], int(counts[item, which]), 3)
                assert torch.equal(found.nearest[item, members], members[joined])


def test_neighbours_capped_by_the_count():
    points = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(1))
    assert clusters(points, [2], 7, capped=True).nearest[0].tolist() == by_hand.density_peaks(points[0], 2, 2)[1]


def test_a_common_offset_and_large_values_do_not_matter():
    points = torch.randn(1, 40, 8, generator=torch.Generator().manual_seed(2))
    plain = clusters(points, [6])
    moved = clusters(points + 300, [6])
    assert torch.equal(moved.nearest, plain.nearest)
    far = clusters(points * 1000, [6])  # exp(-1e6) is 0 in any precision
    assert far.rank.unique().numel() == 40
    assert far.nearest[0].tolist() == clusters(points.double().mul(1000).float(), [6]).nearest[0].tolist()


@pytest.mark.parametrize("sizes", [(9, 9), (6, 4)])
def test_merge_equals_merging_first(sizes):
    points = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(4))
    merge = Mix.means(torch.tensor([0, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 12, 13, 14, 15, 16, 17]), 18)
    group = torch.arange(9).expand(2, 9) < torch.tensor(sizes)[:, None]
    group = (group & (merge.target == torch.arange(18)).view(2, 9)).long() - 1
    merged = merge(points.flatten(0, 1)).view_as(points)
    first = density_peaks(points, group, torch.tensor([[3], [2]]), 4, merge=merge)
    after = density_peaks(merged, group, torch.tensor([[3], [2]]), 4)
    assert torch.equal(first.nearest, after.nearest)
    assert torch.equal(first.centre, after.centre)


def test_points_are_not_modified():
    points = torch.randn(2, 9, 4)
    before = points.clone()
    clusters(points, [3])
    assert torch.equal(points, before)

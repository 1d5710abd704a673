import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import load_golden
from vidfold.ops.ranks import (
    by_first_member,
    descending_rank,
    first_members,
    first_true,
    gather_rows,
    inverse,
    local_and_global,
    reading_order,
    window_ids,
    window_rank,
)

LABELS = torch.tensor([2, 5, 0, 2, 4, 0, 5, 2])
"""Of five groups, of which 1 and 3 are empty; 5 is none."""


def test_window_choice_equals_golden():
    unit = load_golden("aot/unit")
    rank = window_rank(unit["win_attn"], (27, 27), 3)
    ids = window_ids((27, 27), 3)
    for local in (9, 54, 63, 72, 98):
        golden = unit[f"win_idx_{local}"].long()
        # The golden lists window by window, best first.
        order = (ids * 1000 + rank).argsort(-1)
        chosen = torch.stack([row[rank[frame][row] < local // 9] for frame, row in enumerate(order)])
        assert torch.equal(chosen, golden)


def test_windows_are_near_equal():
    sizes = window_ids((7, 5), 3).bincount()
    assert sizes.sum() == 35
    assert sizes.max() <= 3 * 2
    assert sizes.min() >= 2 * 1


def test_rank_prefers_the_lower_index_of_equals():
    assert descending_rank(torch.tensor([[1.0, 2.0, 2.0, 0.0]])).tolist() == [[2, 0, 1, 3]]


def test_orders():
    order = torch.tensor([[2, 0, 1], [1, 0, 2]])
    assert inverse(order).tolist() == [[1, 2, 0], [1, 0, 2]]
    mask = torch.tensor([[False, True, False, True], [True, True, True, False]])
    assert first_true(mask, 3).tolist() == [[1, 3, 0], [0, 1, 2]]
    kept = torch.tensor([[False, True], [True, True]])
    assert reading_order(kept, 3).tolist() == reading_order(kept, None).tolist() == [1, 2, 3]


def test_rows_of_each_item():
    values = torch.arange(12).view(2, 3, 2)
    assert gather_rows(values, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_groups_are_numbered_by_first_member():
    assert first_members(LABELS, 5).tolist() == [2, 8, 0, 8, 4]
    labels, first = by_first_member(LABELS, 5)
    assert labels.tolist() == [0, 5, 1, 0, 2, 1, 5, 0]
    assert first.tolist() == [0, 2, 4, 8, 8]


@given(
    grid=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    windows=st.integers(1, 4),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    constant=st.booleans(),
)
def test_counts_are_exact_on_any_grid(grid, windows, shares, constant):
    cells = grid[0] * grid[1]
    total = torch.tensor([round(shares[0] * cells), cells])
    local = (total * shares[1]).long()
    attention = torch.ones(2, 2, cells) if constant else torch.rand(2, 2, cells)
    mask = local_and_global(attention[0], attention[1], grid, local, total, windows)
    assert mask.sum(1).tolist() == total.tolist()
    chosen = local_and_global(attention[0], attention[1], grid, local, local, windows)
    quota = torch.zeros(2, windows**2).scatter_add_(1, window_ids(grid, windows).expand(2, -1), chosen.float())
    sizes = window_ids(grid, windows).bincount(minlength=windows**2)
    room = quota < sizes
    for row in range(2):
        if room[row].any():  # no window that still has room is more than one turn behind
            assert quota[row][room[row]].min() >= quota[row].max() - 1

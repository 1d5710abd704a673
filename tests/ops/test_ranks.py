import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import load_golden
from vidfold.ops.ranks import descending_rank, local_and_global, window_ids, window_rank


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

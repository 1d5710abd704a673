import torch
from hypothesis import given
from hypothesis import strategies as st

from vidfold.clips import Clips
from vidfold.ops.shares import kept_tokens
from vidfold.reducers.aot.paper_budget import clip_budget


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    padding=st.integers(0, 3),
    cells=st.integers(1, 30),
    retention=st.floats(1e-4, 1),
    keep=st.floats(0, 1),
    repeat=st.booleans(),
)
def test_clip_budgets_sum_to_the_total(lengths, padding, cells, retention, keep, repeat):
    frames = sum(lengths)
    total = kept_tokens(retention, frames, cells)
    sizes = torch.tensor(lengths + [0] * padding)
    starts = sizes.cumsum(0) - sizes
    budget = clip_budget(total, cells, Clips(starts, sizes, frames, max(lengths)), keep, repeat)
    assert int((budget.anchors + budget.repeated + budget.kept).sum()) == total
    assert int(budget.anchors.max()) <= budget.most <= cells
    assert (budget.repeated >= 0).all()
    assert (budget.repeated <= budget.anchors).all()
    assert (budget.anchors[len(lengths) :] == 0).all()
    for clip, length in enumerate(lengths):
        later = [int(budget.kept_at(gap, sizes)[clip]) for gap in range(1, length)]
        assert sum(later) == budget.kept[clip]
        assert all(0 <= kept <= budget.anchors[clip] for kept in later)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import by_hand
from vidfold.ops.shares import apportion, evenly, host_bound, proportional


@given(st.integers(0, 500), st.integers(1, 40))
def test_evenly(total, frames):
    shares = evenly(total, frames)
    assert shares.sum() == total
    assert shares.max() - shares.min() <= 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=12), st.floats(0, 1))
def test_apportion_equals_largest_remainder(sets, part):
    sizes, least = [size for size, _ in sets], [least for _, least in sets]
    total = int(part * sum(sizes))
    shares = apportion(total, torch.tensor(sizes), torch.tensor(least))
    assert shares.tolist() == by_hand.largest_remainder(total, sizes, least)
    assert shares.sum() == total
    assert (shares <= torch.tensor(sizes)).all()


def test_apportion_all():
    sizes = torch.tensor([3, 0, 7, 1])
    assert torch.equal(apportion(11, sizes, 1), sizes)
    assert apportion(2, sizes, 1).tolist() == [1, 0, 1, 0]


def test_rows_are_apportioned_independently():
    sizes = torch.tensor([[5, 5, 1], [0, 9, 0]])
    both = apportion(torch.tensor([4, 9]), sizes)
    assert both.tolist() == [apportion(4, sizes[0]).tolist(), [0, 9, 0]]


@pytest.mark.parametrize(("device", "bound"), [("cpu", 3), ("meta", 8)])
def test_host_bound(device, bound):
    assert host_bound(torch.tensor([1, 3], device=device), 8) == bound


@given(
    pairs=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), min_size=1, max_size=8),
    part=st.floats(0, 1),
)
def test_proportional_equals_rounds_of_sharing(pairs, part):
    weights, bounds = map(list, zip(*pairs, strict=True))
    total = round(part * sum(bounds))
    shared = proportional(total, torch.tensor(weights, dtype=torch.float32), torch.tensor(bounds))
    expected = torch.tensor(by_hand.proportional(total, weights, bounds))
    assert shared.sum() == expected.sum() == total
    assert (shared <= torch.tensor(bounds)).all()
    # Remainders that are equal but for rounding may go to either.
    assert (shared - expected).abs().max() <= 1


def test_proportional_without_weights_is_even():
    assert proportional(7, torch.zeros(3), 4).tolist() == [3, 2, 2]
    assert proportional(8, torch.tensor([0.0, 1.0, 1.0]), 3).tolist() == [2, 3, 3]
    assert proportional(torch.tensor(4), torch.tensor([3.0, 1.0]), torch.tensor([9, 9])).tolist() == [3, 1]

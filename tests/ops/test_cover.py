import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from vidfold.ops import cover
from vidfold.ops.cover import facility, farthest, farthest_units, most_isolated


def problem(seed: int, items: int = 3, count: int = 9):
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(items, count, 4, generator=rng)
    members = torch.ones(items, count, dtype=torch.bool)
    members[0, 5:] = False
    return torch.cdist(points, points), torch.rand(items, count, generator=rng) + 0.5, members


def by_hand_farthest(cost, weight, members, count):
    inside = [i for i, there in enumerate(members.tolist()) if there]
    spread = (cost[:, inside] * weight[inside]).sum(1)
    chosen = [min(inside, key=lambda i: spread[i].item())]
    while len(chosen) < min(count, len(inside)):
        left = [i for i in inside if i not in chosen]
        chosen.append(max(left, key=lambda i: (weight[i] * cost[i, chosen].min()).item()))
    return chosen


def by_hand_facility(cost, weight, members, count):
    inside = [i for i, there in enumerate(members.tolist()) if there]

    def total(chosen):
        return (weight[inside] * cost[inside][:, chosen].amin(1)).sum().item()

    chosen: list[int] = []
    while len(chosen) < min(count, len(inside)):
        chosen.append(min((i for i in inside if i not in chosen), key=lambda i: total([*chosen, i])))
    return chosen


def clip(count: int, channels: int = 32, frames: int = 10, seed: int = 0):
    """Squared cosine costs (1, n, n) of tokens that repeat from frame to frame, as those of a clip do, and weights."""
    rng = torch.Generator().manual_seed(seed)
    scene = torch.randn(1, count // frames, channels, generator=rng)
    tokens = scene + 0.3 * torch.randn(frames, count // frames, channels, generator=rng)
    units = functional.normalize(tokens.flatten(0, 1)[None], dim=2)
    cost = (1 - units @ units.transpose(1, 2)).clamp_min(0).square()
    return cost, 1 + 4 * torch.rand(1, count, generator=rng)


def in_double(cost, weight, count):
    """The same greedy in float64: gains (n,) lowered by what each choice takes from them."""
    cost, weight = cost.double(), weight.double()
    chosen = [int((cost @ weight).argmin())]
    nearest = cost[chosen[0]].clone()
    gains = (nearest - cost).clamp_min(0) @ weight
    while len(chosen) < count:
        gains[chosen[-1]] = -torch.inf
        chosen.append(int(gains.argmax()))
        falls = (cost[chosen[-1]] < nearest).nonzero()[:, 0]
        after = torch.minimum(nearest[falls], cost[chosen[-1]][falls])
        lost = (nearest[falls] - cost[:, falls]).clamp_min(0) - (after - cost[:, falls]).clamp_min(0)
        gains -= lost @ weight[falls]
        nearest[falls] = after
    return torch.tensor(chosen), float(weight @ nearest)


@pytest.mark.parametrize(("count", "kept"), [(100, 20), (500, 125), (1200, 240)])
def test_rounding_does_not_choose(count, kept):
    cost, weight = clip(count)
    order, gain = facility(cost, weight, torch.ones_like(weight, dtype=torch.bool), kept)
    expected, total = in_double(cost[0], weight[0], kept)
    assert (order[0] == expected).float().mean() >= 0.98
    sums = cost[0, order[0]].double().cummin(0).values @ weight[0].double()
    assert float(sums[-1]) == pytest.approx(total, rel=1e-6)
    torch.testing.assert_close(gain[0, 1:].double(), -sums.diff(), rtol=1e-6, atol=1e-9)
    assert (gain[0, 1:].diff() <= 0).all()


def test_a_little_noise_changes_few_choices():
    cost, weight = clip(1200)
    everyone = torch.ones_like(weight, dtype=torch.bool)
    noise = 1e-7 * torch.randn(cost.shape, generator=torch.Generator().manual_seed(1))
    order, _ = facility(cost, weight, everyone, 240)
    near, _ = facility((cost + noise).clamp_min(0), weight, everyone, 240)
    assert (order == near).float().mean() >= 0.98


def test_a_device_that_cannot_be_asked_chooses_the_same(monkeypatch):
    cost, weight = clip(500)
    everyone = torch.ones_like(weight, dtype=torch.bool)
    order, gain = facility(cost, weight, everyone, 125)
    monkeypatch.setattr(cover, "on_host", lambda values: False)
    asked, all_gains = facility(cost, weight, everyone, 125)
    assert torch.equal(order, asked)
    torch.testing.assert_close(gain, all_gains)


def test_of_equal_gains_the_lowest_index_is_taken():
    """Two tokens that are near only each other gain the same, whatever rounding does to either sum."""
    cost = torch.full((1, 100, 100), 1.0)
    cost[0, :10, :10], cost[0, 1::3, 1::3] = 0.1, 0.3
    cost.diagonal(dim1=1, dim2=2).zero_()
    for pair, apart in ((20, 0.33333), (50, 0.21111), (80, 0.12345)):
        cost[0, pair, pair + 2] = cost[0, pair + 2, pair] = apart
    order, _ = facility(cost, torch.ones(1, 100), torch.ones(1, 100, dtype=torch.bool), 70)
    chosen = order[0].tolist()
    for pair in (20, 50, 80):
        assert chosen.index(pair) < (chosen.index(pair + 2) if pair + 2 in chosen else 100)
    assert chosen == in_double(cost[0], torch.ones(100), 70)[0].tolist()


@pytest.mark.parametrize(("choose", "by_hand"), [(farthest, by_hand_farthest), (facility, by_hand_facility)])
@given(seed=st.integers(0, 500), count=st.integers(1, 9))
def test_as_by_hand(choose, by_hand, seed, count):
    cost, weight, members = problem(seed)
    order, gain = choose(cost, weight, members, count)
    for item in range(len(cost)):
        expected = by_hand(cost[item], weight[item], members[item], count)
        assert order[item, : len(expected)].tolist() == expected
        assert (gain[item, len(expected) :] == -torch.inf).all()
        assert gain[item, 0] == torch.inf
        assert (gain[item, 1 : len(expected)] >= 0).all()


@pytest.mark.parametrize("choose", [farthest, facility])
def test_copies_are_chosen_once_each(choose):
    cost, ones = torch.zeros(2, 6, 6), torch.ones(2, 6)
    order, gain = choose(cost, ones, ones.bool(), 6)
    assert order.sort(1).values.tolist() == [list(range(6))] * 2
    assert (gain[:, 1:] == 0).all()


@pytest.mark.parametrize("choose", [farthest, facility])
def test_gains_decrease(choose):
    cost, weight, members = problem(3, count=300)
    _, gain = choose(cost, torch.ones_like(weight), members, 200)
    assert (gain[1:, 1:].diff() <= 0).all()


@pytest.mark.parametrize("choose", [farthest, facility])
def test_batch_equals_a_loop(choose):
    cost, weight, members = problem(4)
    order, _ = choose(cost, weight, members, 4)
    for item in range(len(cost)):
        alone, _ = choose(cost[item : item + 1], weight[item : item + 1], members[item : item + 1], 4)
        assert alone[0].tolist() == order[item].tolist()


def test_locations_without_weight_are_unique():
    order, _ = facility(torch.rand(1, 6, 6), torch.zeros(1, 6), torch.ones(1, 6, dtype=torch.bool), 6)
    assert sorted(order[0].tolist()) == list(range(6))


def make_units(items: int = 2, tokens: int = 40, channels: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return functional.normalize(torch.randn(items, tokens, channels, generator=generator), dim=-1)


def by_hand_units(units, count, start):
    chosen = [start]
    while len(chosen) < count:
        nearest = (units @ units[chosen].T).amax(1)
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return chosen


@pytest.mark.parametrize("ahead", [1, 5, 64])
def test_farthest_units_as_by_hand(ahead, monkeypatch):
    monkeypatch.setattr(cover, "_AHEAD", ahead)
    units = make_units()
    order = farthest_units(units, torch.tensor([3, 17]), 25)
    for item, start in enumerate((3, 17)):
        assert order[item].tolist() == by_hand_units(units[item], 25, start)
    cost, ones = 1 - units @ units.transpose(1, 2), torch.ones(2, 40)
    assert torch.equal(farthest(cost, ones, ones.bool(), 25, start=torch.tensor([3, 17]))[0], order)


def test_repeats_only_on_request():
    copies = make_units(1, 3).repeat(1, 4, 1)
    start = torch.tensor([0])
    assert sorted(farthest_units(copies, start, 12)[0].tolist()) == list(range(12))
    assert len(set(farthest_units(copies, start, 12, repeats=True)[0].tolist())) < 12


def test_all_tokens_and_one_token():
    units = make_units(1, 5)
    assert sorted(farthest_units(units, torch.tensor([2]), 5)[0].tolist()) == [0, 1, 2, 3, 4]
    assert farthest_units(units, torch.tensor([2]), 1).tolist() == [[2]]
    assert farthest_units(units[:, :1], torch.tensor([0]), 1).tolist() == [[0]]


@pytest.mark.parametrize("block", [7, 512])
@pytest.mark.parametrize("tokens", [1, 2, 50, 300])
@pytest.mark.parametrize("looks", [True, False])
def test_most_isolated_equals_all_pairs(block, tokens, looks, monkeypatch):
    monkeypatch.setattr(cover, "_BLOCK", block)
    monkeypatch.setattr(cover, "on_host", lambda values: looks)
    units = make_units(1, tokens, 4)[0]
    similarity = (units @ units.T).fill_diagonal_(-torch.inf)
    assert most_isolated(units) == similarity.amax(1).argmin()


def test_of_equally_isolated_tokens_the_first_is_taken(monkeypatch):
    monkeypatch.setattr(cover, "_BLOCK", 4)
    units = torch.eye(3).repeat_interleave(torch.tensor([7, 7, 7]), dim=0)
    assert most_isolated(units) == 0
    assert most_isolated(torch.eye(9)) == 0

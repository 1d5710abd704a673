"""Greedy choices against plain loops."""

import pytest
import torch
from torch.nn import functional

from vidfold.ops import greedy


def make_units(items: int = 2, tokens: int = 40, channels: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return functional.normalize(torch.randn(items, tokens, channels, generator=generator), dim=-1)


def _farthest_by_hand(units, count, start):
    chosen = [start]
    while len(chosen) < count:
        nearest = (units @ units[chosen].T).amax(1)
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return chosen


@pytest.mark.parametrize("ahead", [1, 5, 64])
def test_farthest_first_equals_a_plain_loop(ahead, monkeypatch):
    monkeypatch.setattr(greedy, "_AHEAD", ahead)
    units = make_units()
    order, closest = greedy.farthest_first(units, 25, torch.tensor([3, 17]))
    for item, start in enumerate((3, 17)):
        assert order[item].tolist() == _farthest_by_hand(units[item], 25, start)
        similarity = units[item] @ units[item][order[item]].T
        torch.testing.assert_close(similarity.gather(1, closest[item][:, None])[:, 0], similarity.amax(1))


def test_only_what_may_repeat_repeats():
    copies = make_units(1, 3).repeat(1, 4, 1)
    start = torch.tensor([0])
    once, _ = greedy.farthest_first(copies, 12, start)
    assert sorted(once[0].tolist()) == list(range(12))
    again, _ = greedy.farthest_first(copies, 12, start, repeats=True)
    assert len(set(again[0].tolist())) < 12


def test_all_tokens_and_one_token():
    units = make_units(1, 5)
    assert sorted(greedy.farthest_first(units, 5, torch.tensor([2]))[0][0].tolist()) == [0, 1, 2, 3, 4]
    assert greedy.farthest_first(units, 1, torch.tensor([2]))[0].tolist() == [[2]]


@pytest.mark.parametrize("tokens", [1, 2, 50, 1100])
def test_most_isolated_equals_all_pairs(tokens):
    units = make_units(1, tokens, 4)[0]
    similarity = (units @ units.T).fill_diagonal_(-torch.inf)
    assert greedy.most_isolated(units) == similarity.amax(1).argmin()

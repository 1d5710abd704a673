"""What a run measures within its time limit."""

from itertools import pairwise

import pytest

from vidfold import AOT
from vidfold.bench.speed import Plan
from vidfold.bench.speed.plan import Case, Clock, evenly, groups, rotated
from vidfold.reducers import FastV


def test_shares_of_the_time_left():
    plan = Plan(AOT(), frames=(8, 24), batches=(1, 2))
    assert plan.cases() == [Case(8, 1), Case(8, 2), Case(24, 1), Case(24, 2)]
    assert plan.shares() == [8 / 96, 16 / 88, 24 / 72, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": (0,)}, "frames must be a whole number of at least 1, got 0"),
        ({"frames": ()}, "frames must hold at least one number"),
        ({"batches": (0,)}, "batch must be a whole number of at least 1, got 0"),
        ({"runs": 0}, "runs must be a whole number of at least 1, got 0"),
        ({"new_tokens": 0}, "new_tokens must be a whole number of at least 1, got 0"),
        ({"minutes": 0}, "minutes must be a positive number, got 0"),
        ({"minutes": float("nan")}, "minutes must be a positive number, got nan"),
        ({"reducer": FastV()}, "fastv works inside the language model"),
    ],
)
def test_bad_plans(given, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"reducer": AOT(), **given})


def test_groups_of_frames():
    assert groups(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert groups(5, None) == [slice(0, 5)]


def test_rotation_balances_the_order():
    orders = [rotated(("a", "b", "c"), turn) for turn in range(6)]
    assert {order[0] for order in orders} == set("abc")
    assert len({pair for order in orders for pair in pairwise(order)}) == 6


@pytest.mark.parametrize(("full", "count"), [(6272, 627), (10, 10), (10, 1), (7, 5), (3, 9)])
def test_even_positions(full, count):
    places = evenly(full, count)
    assert len(set(places)) == len(places) == min(count, full)
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] < full
    gaps = {after - before for before, after in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_clock_keeps_a_margin():
    clock = Clock(100)
    assert clock.fits(70)
    assert not clock.fits(90)
    assert not Clock(0).fits(0.1)

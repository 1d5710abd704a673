import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidfold.transport import partial

EPSILON, PRICE = 0.2, 2.0


def solve(cost, mass, takes, cap=9.0):
    return partial(cost, mass, takes, epsilon=EPSILON, price=PRICE, cap=cap).plan


def problem(seed: int, batch: int = 3, senders: int = 7, receivers: int = 4):
    rng = torch.Generator().manual_seed(seed)
    cost = torch.rand(batch, senders, receivers, generator=rng) * 2
    mass = torch.rand(batch, senders, generator=rng) + 0.1
    mass[0, :2] = 0
    takes = torch.ones(batch, receivers, dtype=torch.bool)
    takes[1, 0] = False
    return cost, mass, takes


@given(seed=st.integers(0, 1000), cap=st.floats(0.05, 3))
def test_rows_send_at_most_their_mass(seed, cap):
    cost, mass, takes = problem(seed)
    plan = solve(cost, mass, takes, cap)
    assert (plan >= 0).all()
    assert (plan.sum(2) <= mass * (1 + 1e-5)).all()
    assert (plan[(cost > cap) | ~takes[:, None, :] | (mass == 0)[:, :, None]] == 0).all()


@given(seed=st.integers(0, 1000))
def test_closed_form_is_the_minimum(seed):
    """Minimum of <P, C> + price * (1 - mass moved) + epsilon * entropy, with the outlet as one more receiver."""
    cost, mass, takes = problem(seed)
    plan = solve(cost, torch.ones_like(mass), takes)

    def objective(moved):
        rest = 1 - moved.sum(2, keepdim=True)
        every = torch.cat([moved, rest], 2).clamp_min(1e-30)
        costs = torch.cat([cost, torch.full_like(rest, PRICE)], 2)
        return (every * (costs + EPSILON * every.log())).sum(2)

    plan, cost = plan[2:], cost[2:]
    least = objective(plan)
    rng = torch.Generator().manual_seed(seed)
    for size in (0.01, 0.1):
        other = (plan + size * (torch.rand(plan.shape, generator=rng) - 0.5)).clamp_min(0)
        other = other / other.sum(2, keepdim=True).clamp_min(1)
        assert (objective(other) >= least - 1e-5).all()


def test_far_tokens_are_not_moved():
    cost = torch.tensor([[[0.1, 5.0], [5.0, 5.0]]])
    plan = solve(cost, torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert plan[0, 0, 0] > 0.99
    assert plan[0, 1].sum() < 1e-5


def test_no_senders_or_receivers():
    cost = torch.rand(2, 3, 2)
    nobody = torch.zeros(2, 2, dtype=torch.bool)
    assert (solve(cost, torch.ones(2, 3), nobody) == 0).all()
    assert (solve(cost, torch.zeros(2, 3), ~nobody) == 0).all()


def test_mass_only_scales_the_plan():
    cost, mass, takes = problem(3)
    shares = solve(cost, (mass > 0).float(), takes)
    torch.testing.assert_close(solve(cost, mass, takes), shares * mass[:, :, None])


def test_closed_form_needs_no_iterations():
    found = partial(*problem(4), epsilon=EPSILON, price=PRICE, cap=1.0)
    assert found.converged.all()
    assert found.error.tolist() == pytest.approx([0, 0, 0])
    assert found.iterations.tolist() == [0, 0, 0]


def test_batch_equals_a_loop():
    cost, mass, takes = problem(2)
    together = solve(cost, mass, takes, 1.5)
    for item in range(len(cost)):
        part = slice(item, item + 1)
        torch.testing.assert_close(together[part], solve(cost[part], mass[part], takes[part], 1.5))

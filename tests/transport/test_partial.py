import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidfold.transport.partial import KINDS, Rules, shares

RULES = Rules(epsilon=0.2, price=2.0, capacity=0.5)


def problem(seed: int, batch: int = 3, senders: int = 7, receivers: int = 4):
    rng = torch.Generator().manual_seed(seed)
    cost = torch.rand(batch, senders, receivers, generator=rng) * 2
    mass = torch.rand(batch, senders, generator=rng) + 0.1
    mass[0, :2] = 0
    takes = torch.ones(batch, receivers, dtype=torch.bool)
    takes[1, 0] = False
    return cost, mass, takes


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1000), cap=st.floats(0.05, 3))
def test_rows_send_at_most_their_mass(kind, seed, cap):
    cost, mass, takes = problem(seed)
    plan = shares(kind, cost, mass, takes, cap, RULES)
    assert (plan >= 0).all()
    assert (plan.sum(2) <= 1 + 2e-3).all()
    assert (plan[(cost > cap) | ~takes[:, None, :] | (mass == 0)[:, :, None]] == 0).all()


@given(seed=st.integers(0, 1000))
def test_closed_form_is_the_minimum(seed):
    """Minimum of <P, C> + price * (1 - mass moved) + epsilon * entropy, with the outlet as one more receiver."""
    cost, mass, takes = problem(seed)
    plan = shares("semi-relaxed", cost, mass, takes, 9.0, RULES)

    def objective(moved):
        rest = 1 - moved.sum(2, keepdim=True)
        every = torch.cat([moved, rest], 2).clamp_min(1e-30)
        costs = torch.cat([cost, torch.full_like(rest, RULES.price)], 2)
        return (every * (costs + RULES.epsilon * every.log())).sum(2)

    plan, cost = plan[2:], cost[2:]
    least = objective(plan)
    rng = torch.Generator().manual_seed(seed)
    for size in (0.01, 0.1):
        other = (plan + size * (torch.rand(plan.shape, generator=rng) - 0.5)).clamp_min(0)
        other = other / other.sum(2, keepdim=True).clamp_min(1)
        assert (objective(other) >= least - 1e-5).all()


def test_far_tokens_are_not_moved():
    cost = torch.tensor([[[0.1, 5.0], [5.0, 5.0]]])
    plan = shares("semi-relaxed", cost, torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool), 9.0, RULES)
    assert plan[0, 0, 0] > 0.99
    assert plan[0, 1].sum() < 1e-5


def test_capacity_moves_load_to_free_receivers():
    cost = torch.tensor([[0.30, 0.45]]).expand(8, 2)[None].contiguous()
    mass, takes = torch.ones(1, 8), torch.ones(1, 2, dtype=torch.bool)
    free = shares("semi-relaxed", cost, mass, takes, 9.0, RULES).sum(1)
    bound = shares("unbalanced", cost, mass, takes, 9.0, Rules(0.2, 2.0, 5.0)).sum(1)
    even = shares("balanced", cost, mass, takes, 9.0, RULES).sum(1)
    assert free[0, 0] > bound[0, 0] > even[0, 0] - 1e-3
    assert even[0].tolist() == pytest.approx([4, 4], rel=1e-3)


def test_without_capacity_equals_the_closed_form():
    cost, mass, takes = problem(1)
    rules = Rules(0.2, 2.0, 0.0)
    free = shares("semi-relaxed", cost, mass, takes, 1.0, rules)
    torch.testing.assert_close(shares("unbalanced", cost, mass, takes, 1.0, rules), free)


@pytest.mark.parametrize("kind", KINDS)
def test_no_senders_or_receivers(kind):
    cost = torch.rand(2, 3, 2)
    nobody = torch.zeros(2, 2, dtype=torch.bool)
    assert (shares(kind, cost, torch.ones(2, 3), nobody, 9.0, RULES) == 0).all()
    assert (shares(kind, cost, torch.zeros(2, 3), ~nobody, 9.0, RULES) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_batch_equals_a_loop(kind):
    cost, mass, takes = problem(2)
    together = shares(kind, cost, mass, takes, 1.5, RULES)
    for item in range(len(cost)):
        part = slice(item, item + 1)
        alone = shares(kind, cost[part], mass[part], takes[part], 1.5, RULES)
        torch.testing.assert_close(together[part], alone, rtol=1e-3, atol=1e-4)

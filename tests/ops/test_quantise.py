"""Anchors that move to where they serve most: against plain loops, and what they promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from vidfold.ops.quantise import quantise
from vidfold.ops.ranks import first_members


def quantised(units: Tensor, count: int, rounds: int, moved: float = 1 / 4) -> tuple[list[int], list[float]]:
    """`quantise` of one item (n, E) by plain loops, in float64, from its description."""
    size = len(units)
    anchors = [units[slot * (size - 1) // max(1, count - 1)] for slot in range(count)]
    for step in range(rounds):
        labels, near = _served(units, anchors)
        groups = [[row for row in range(size) if labels[row] == anchor] for anchor in range(count)]
        far = [min(1.0, max(0.0, 1 - 1e-6 - each)) for each in near]
        for anchor, rows in enumerate(groups):
            if rows:
                anchors[anchor] = normalize(units[rows].sum(0), dim=0)
        if step < rounds - 1:
            anchors = _exchanged(units, anchors, groups, far, max(1, int(count * moved)))
    labels, near = _served(units, anchors)
    for anchor in range(count):
        if anchor not in labels:
            best = {label: max((near[r], -r) for r in range(size) if labels[r] == label) for label in set(labels)}
            spare = [row for row in range(size) if (near[row], -row) != best[labels[row]] and near[row] < torch.inf]
            row = min(spare, key=lambda row: (near[row], row))
            labels[row], near[row] = anchor, torch.inf
    return labels, near


def _served(units: Tensor, anchors: list[Tensor]) -> tuple[list[int], list[float]]:
    best = (units @ torch.stack(anchors).T).max(1)
    return best.indices.tolist(), best.values.tolist()


def _exchanged(
    units: Tensor, anchors: list[Tensor], groups: list[list[int]], far: list[float], most: int
) -> list[Tensor]:
    slots = range(len(anchors))
    loss, heir, cost = [], [], [each**2 for each in far]
    gain = [0.3 * sum(cost[row] for row in rows) + 0.7 * max([cost[row] for row in rows], default=0) for rows in groups]
    for anchor, rows in enumerate(groups):
        alike = [float(anchors[anchor] @ anchors[each]) if each != anchor else -4.0 for each in slots]
        heir.append(max(slots, key=alike.__getitem__))
        there = [1 - (1 - far[row]) * min(1.0, max(alike) + 1e-6) for row in rows]
        loss.append(sum(each**2 - cost[row] for row, each in zip(rows, there, strict=True)))
    moved = list(anchors)
    givers, takers = sorted(slots, key=loss.__getitem__), sorted(slots, key=lambda anchor: -gain[anchor])
    for turn, (giver, taker) in enumerate(zip(givers[:most], takers, strict=False)):
        first = givers.index(heir[giver]) >= turn
        if first and gain[taker] > loss[giver] and giver != taker:
            worst = max(far[row] for row in groups[taker])
            moved[giver] = units[min(row for row in groups[taker] if far[row] >= worst - 1e-4)]
    return moved


def tokens(batch: int, size: int, width: int, seed: int = 0, spread: float = 0.5, dtype=torch.float32) -> Tensor:
    """Unit tokens in clusters."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(batch, max(2, size // 12), width, generator=generator, dtype=torch.float64)
    chosen = torch.randint(centres.shape[1], (batch, size), generator=generator)
    noise = torch.randn(batch, size, width, generator=generator, dtype=torch.float64)
    return normalize(centres.gather(1, chosen[..., None].expand(-1, -1, width)) + spread * noise, dim=2).to(dtype)


def everyone(units: Tensor) -> Tensor:
    return torch.ones(units.shape[:2], dtype=torch.bool)


def spent(units: Tensor, labels: Tensor, count: int) -> float:
    """Mean (1 - cos)^2 of tokens and the mean of their own."""
    hot = torch.nn.functional.one_hot(labels, count).to(units.dtype)
    means = normalize(hot.transpose(1, 2) @ units, dim=2)
    return float((1 - (units * (hot @ means)).sum(2)).square().mean())


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_equals_plain_loops(rounds):
    units = tokens(3, 90, 8, dtype=torch.float64)
    sizes, counts = torch.tensor([90, 60, 7]), torch.tensor([20, 7, 7])
    present = torch.arange(90) < sizes[:, None]
    found, near = quantise((units * present[..., None]).float(), present, counts, 20, rounds)
    for item, (size, count) in enumerate(zip(sizes.tolist(), counts.tolist(), strict=True)):
        labels, cosines = quantised(units[item, :size], count, rounds)
        assert found[item, :size].tolist() == labels
        torch.testing.assert_close(near[item, :size], torch.tensor(cosines, dtype=torch.float32), atol=1e-5, rtol=0)
        assert sorted(set(found[item, :size].tolist())) == list(range(count))
        assert near[item, size:].isneginf().all()


@given(
    size=st.integers(1, 40),
    share=st.floats(0, 1),
    rounds=st.integers(1, 6),
    distinct=st.integers(1, 40),
    zeros=st.integers(0, 3),
)
@settings(max_examples=80)
def test_every_anchor_has_a_token(size, share, rounds, distinct, zeros):
    """However many copies there are, and tokens of length 0."""
    units = tokens(1, distinct, 4)[:, torch.arange(size) % distinct]
    units[:, :zeros] = 0
    count = 1 + int(share * (size - 1))
    labels, _ = quantise(units, everyone(units), torch.tensor([count]), count, rounds)
    assert sorted(set(labels[0].tolist())) == list(range(count))


def test_moving_anchors_serve_better():
    units = tokens(2, 800, 32, spread=1.0)
    units[:, 300:] = units[:, 300:310].repeat(1, 50, 1) + 0.01 * units[:, 300:]  # most of the clip hardly changes
    units = normalize(units, dim=2)
    counts = torch.tensor([60, 60])
    costs = {
        (rounds, moved): spent(units, quantise(units, everyone(units), counts, 60, rounds, moved=moved)[0], 60)
        for rounds, moved in [(1, 0.0), (5, 0.0), (5, 1 / 8), (9, 1 / 8)]
    }
    assert costs[5, 0.0] < costs[1, 0.0]
    assert costs[5, 1 / 8] < costs[5, 0.0]
    assert costs[9, 1 / 8] < costs[5, 1 / 8]


def test_a_token_like_no_other_gets_an_anchor():
    units = tokens(1, 600, 16, spread=0.1)
    units[0, 417] = -normalize(units[0].sum(0), dim=0)
    labels, near = quantise(units, everyone(units), torch.tensor([60]), 60, 5)
    assert (labels[0] == labels[0, 417]).sum() == 1
    assert near[0, 417] > 0.999


def _partners(labels: Tensor) -> Tensor:
    """The first token (n,) of each token's anchor: the same for anchors in another order."""
    return first_members(labels, len(labels))[labels]


@pytest.mark.parametrize("coarse", [None, 32])
@pytest.mark.parametrize(("size", "share"), [(288, 0.5), (1024, 0.25), (4096, 0.1)])
def test_rounding_decides_nothing(size, share, coarse):
    """The same in float64, and with noise of float32's size on the tokens."""
    units = tokens(1, size, 64, spread=1.0, dtype=torch.float64)
    most = int(size * share)
    noisy = units * (1 + 1e-7 * torch.randn(units.shape, dtype=units.dtype, generator=torch.Generator().manual_seed(1)))
    exact, *others = (
        quantise(given, everyone(units), torch.tensor([most]), most, 5, coarse=coarse)[0]
        for given in (units, units.float(), noisy.float())
    )
    for labels in others:
        assert (_partners(labels[0]) == _partners(exact[0])).float().mean() > 0.999


def test_coarse_rounds_serve_nearly_as_well():
    units = tokens(1, 800, 256, spread=1.0)
    found = [quantise(units, everyone(units), torch.tensor([100]), 100, 6, coarse=each)[0] for each in (None, 64)]
    fine, coarse = (spent(units, labels, 100) for labels in found)
    assert coarse < 1.05 * fine


def test_items_are_alone():
    units = tokens(4, 120, 16)
    counts = torch.tensor([12] * 4)
    whole, _ = quantise(units, everyone(units), counts, 12, 5)
    for item in range(4):
        part = units[item : item + 1]
        assert torch.equal(quantise(part, everyone(part), counts[:1], 12, 5)[0][0], whole[item])

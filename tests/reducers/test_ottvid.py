"""OTT-Vid: the authors' program, and the exact budget against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_video
from tests.peers import peer_cases, peer_video
from vidfold import Pooling
from vidfold.reducers import ottvid
from vidfold.reducers.ottvid import OTTVid, merge_budgets
from vidfold.transport import sinkhorn

CASES = peer_cases("ottvid")


def original(params: dict) -> OTTVid:
    grid = tuple(params["grid"])
    return OTTVid(
        params["r"],
        params["share"],
        params["mass_tau"],
        params["budget_temp"],
        params["cost_thr"],
        params["eps"],
        params["iters"],
        original=True,
        position_grid=None if grid == (14, 14) else grid,
    )


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case, monkeypatch):
    frames, params, golden = CASES[case]
    seen = {}

    def watched(cost, *rest):
        seen["cost"], seen["budgets"] = cost, merge_budgets(cost, *rest)
        return seen["budgets"]

    monkeypatch.setattr("vidfold.reducers.ottvid.merge_budgets", watched)
    method = original(params)
    reduction = method(peer_video(frames))
    assert len(reduction) == method.count(frames, 196)
    assert torch.equal(reduction.frames * 196 + reduction.cells, golden["src"].long())
    assert torch.equal(reduction.frames.bincount(minlength=frames), golden["frame_counts"].long())
    assert torch.equal(seen["budgets"], golden["budgets"].long())
    torch.testing.assert_close(seen["cost"], golden["pair_cost_W"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(reduction.tokens, golden["tokens"], rtol=1e-5, atol=1e-5)


def _by_hand(method: OTTVid, video) -> dict[int, torch.Tensor]:
    """Position -> token of the default method, by loops over frames, pairs and tokens."""
    frames, cells = video.frames, video.cells
    chosen, merges, cap = method.plan(frames, cells)
    features, attention = video.pooled(), video.pool(video.deep)
    unit = torch.nn.functional.normalize(features, dim=-1)
    weight = attention / attention.sum(1, keepdim=True)
    places, masses = [], []
    for frame in range(frames):
        similarity, covered, kept = unit[frame] @ unit[frame].T, torch.zeros(cells), []
        for _ in range(chosen):
            gains = (weight[frame][:, None] * (similarity - covered[:, None]).clamp_min(0)).sum(0)
            kept.append(max((j for j in range(cells) if j not in kept), key=lambda j: gains[j]))
            covered = torch.maximum(covered, similarity[:, kept[-1]])
        kept.sort()
        alone = torch.zeros(chosen)
        for token in range(cells):
            best, second = similarity[token, kept].topk(2).values
            alone[similarity[token, kept].argmax()] += weight[frame, token] * (best - second)
        places.append(kept)
        masses.append((-alone / alone.max() / method.mass_temperature).softmax(0))

    height, width = video.language_grid
    plans, costs = [], []
    for pair in range(frames - 1):
        still = (unit[pair] * unit[pair + 1]).sum(1).mean()
        share = 0.5 + 0.5 * (1 - still).clamp(0, 1)
        cost = torch.empty(chosen, chosen)
        for i, here in enumerate(places[pair]):
            for j, there in enumerate(places[pair + 1]):
                far = (here // width - there // width) / (height - 1), (here % width - there % width) / (width - 1)
                distance = (far[0] ** 2 + far[1] ** 2) ** 0.5 / 2**0.5
                feature = 1 - (unit[pair, here] @ unit[pair + 1, there]).clamp_min(0)
                cost[i, j] = share * feature + (1 - share) * distance
        plan = sinkhorn(
            cost[None], masses[pair][None], masses[pair + 1][None], epsilon=method.epsilon, tolerance=1e-6,
            iterations=5000,
        ).plan[0]  # fmt: skip
        plans.append(plan)
        costs.append(cost)
    budgets = merge_budgets(
        torch.stack([(plan * cost).sum() for plan, cost in zip(plans, costs, strict=True)]), merges, cap,
        method.budget_temperature,
    )  # fmt: skip

    holds = {(frame, slot): [(frame, slot)] for frame in range(frames) for slot in range(chosen)}
    for pair in reversed(range(frames - 1)):
        later = sorted(range(chosen), key=lambda j: -float(plans[pair][:, j].max()))[: int(budgets[pair])]
        for j in later:
            i = int(plans[pair][:, j].argmax())
            moved = holds.pop((pair + 1, j))
            if costs[pair][i, j] <= method.cost_threshold:
                holds[pair, i] += moved
    return {
        frame * cells + places[frame][slot]: torch.stack([features[f, places[f][s]] for f, s in members]).mean(0)
        for (frame, slot), members in holds.items()
    }


@pytest.mark.parametrize("fields", [{"retention": 0.1}, {"retention": 0.25, "cost_threshold": 0.05}, {"epsilon": 0.1}])
def test_equals_plain_loops(fields):
    video = make_video(frames=5, grid=(5, 6), pooling=Pooling.NONE)
    method = OTTVid(**{"retention": 0.15, "iterations": 2000} | fields)
    reduction, expected = method(video), _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == sorted(expected)
    tokens = torch.stack([expected[place] for place in sorted(expected)])
    torch.testing.assert_close(reduction.tokens, tokens, rtol=1e-5, atol=1e-5)


def test_merge_budgets_fill_the_cheapest_pairs_first():
    cost = torch.tensor([0.0, 0.3, 5.0])
    assert merge_budgets(cost, 10, 100, 0.3).tolist() == [7, 3, 0]
    assert merge_budgets(cost, 10, 4, 0.3).tolist() == [4, 4, 2]
    assert merge_budgets(cost, 12, 4, 0.3).tolist() == [4, 4, 4]
    assert merge_budgets(cost, 50, 4, 0.3).tolist() == [4, 4, 4]
    assert merge_budgets(cost, 5, 0, 0.3).tolist() == [0, 0, 0]


def _budgets_by_rounds(cost, merges, cap, temperature):
    """As many rounds as it takes, pair by pair."""
    budget, left = [0] * len(cost), min(merges, len(cost) * cap)
    while left:
        open_ = [pair for pair in range(len(cost)) if budget[pair] < cap]
        shares = ((-cost[open_] / temperature).softmax(0) * left).tolist()
        asked = [math.floor(share) for share in shares]
        extra = sorted(range(len(open_)), key=lambda i: -(shares[i] - asked[i]))[: left - sum(asked)]
        left = 0
        for i, pair in enumerate(open_):
            wanted = budget[pair] + asked[i] + (i in extra)
            budget[pair] = min(wanted, cap)
            left += wanted - budget[pair]
    return budget


@settings(max_examples=200)
@given(
    pairs=st.integers(1, 40),
    cap=st.integers(0, 30),
    part=st.floats(0, 1.1),
    spread=st.floats(0, 3),
    seed=st.integers(0, 99),
)
def test_merge_budgets_equal_the_rounds(pairs, cap, part, spread, seed):
    cost = torch.rand(pairs, generator=torch.Generator().manual_seed(seed)) * spread
    merges = round(part * pairs * cap)
    expected = _budgets_by_rounds(cost, merges, cap, 0.3)
    assert merge_budgets(cost, merges, cap, 0.3).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ottvid, "on_host", lambda values: False)
        assert merge_budgets(cost, merges, cap, 0.3).tolist() == expected
        patch.setattr(ottvid, "_ROUNDS", 1)
        budget = merge_budgets(cost, merges, cap, 0.3)
        assert budget.sum() == sum(expected)
        assert budget.max() <= cap


def test_budgets_too_small_for_every_frame():
    method = OTTVid(3 / (8 * 20))
    chosen, merges, cap = method.plan(8, 20)
    assert (chosen, merges, cap) == (1, 5, 1)
    reduction = method(make_video(frames=8, grid=(4, 5), pooling=Pooling.NONE))
    assert len(reduction) == 3
    assert OTTVid(3 / (8 * 20), original=True).count(8, 20) > 3


def test_budget_with_one_frame():
    assert OTTVid(0.1).plan(1, 196) == (20, 0, 19)
    assert OTTVid(0.1, original=True).count(1, 196) == 39


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temporal_share": 1.2}, r"temporal_share must be in \[0, 1\], got 1.2"),
        ({"mass_temperature": 0.0}, "mass_temperature must be positive, got 0.0"),
        ({"budget_temperature": -1.0}, "budget_temperature must be positive"),
        ({"epsilon": 0}, "epsilon must be positive, got 0"),
        ({"cost_threshold": -0.1}, "cost_threshold must be a finite number of at least 0, got -0.1"),
        ({"iterations": 0}, "iterations must be a whole number"),
        ({"position_grid": (13, 0)}, r"position_grid must have sides of at least 1, got \(13, 0\)"),
    ],
)
def test_bad_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        OTTVid(**fields)

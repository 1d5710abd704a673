"""Plans keep within their budget, and costs come from calls of the model itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidfold.app.loading import load
from vidfold.planning import Costs, Line, calibrate, paid_for, plan
from vidfold.planning.costs import cells_of, inputs_of

COSTS = Costs(
    cells=196,
    text=20,
    prepare=Line(0.0, 0.01),
    tower=Line(0.05, 0.5),
    fold=Line(0.0, 0.005),
    prefill=Line(0.1, 0.001),
    weights=10**9,
    working=Line(0.0, 10**7),
    cached=10**4,
)


def test_a_number_of_tokens_is_kept_exactly():
    assert (plan(COSTS, tokens=1024).frames, plan(COSTS, tokens=1024).tokens) == (64, 1024)
    assert plan(COSTS, tokens=64).frames == paid_for(64, 196) == 4
    assert plan(COSTS, tokens=10**6).frames == paid_for(10**6, 196) == 256
    assert plan(COSTS, tokens=1, frames=10).frames == 1
    short = plan(COSTS, tokens=1024, frames=3)
    assert (short.frames, short.tokens) == (3, 3 * 196)


@given(st.floats(0.9, 200), st.integers(1, 400))
def test_seconds_are_kept_and_used(seconds, frames):
    found = plan(COSTS, seconds=seconds, frames=frames, decode=0.02)
    assert found.chosen.seconds <= seconds
    assert 1 <= found.frames <= frames
    assert found.tokens <= found.frames * COSTS.cells
    if found.tokens < found.frames * COSTS.cells:
        assert found.chosen.seconds + COSTS.prefill.each > seconds - 1e-9
    assert all(each.seconds <= seconds for each in found.options)


def test_memory_is_kept():
    found = plan(COSTS, memory=2 * 10**9)
    assert found.chosen.memory <= 2 * 10**9
    assert found.frames == 64
    both = plan(COSTS, memory=2 * 10**9, seconds=5)
    assert both.chosen.seconds <= 5


def test_it_explains_itself():
    told = str(plan(COSTS, tokens=512))
    assert told.startswith("32 frames at 16.0 tokens: 512 tokens, about 17 s:")
    assert "tower 16" in told
    assert "prefill 0.63" in told


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "give a budget: tokens, seconds or memory"),
        ({"seconds": 0.5}, "no plan is within 0.5 s: the least is 1 frame at 1 tokens, which takes 0.69 s and 1.01 GB"),
        ({"memory": 10}, "the least is 1 frame at 1 tokens"),
        ({"tokens": 4, "seconds": 0.1}, "no plan is within 4 tokens and 0.1 s"),
        ({"tokens": 0}, "tokens must be a whole number of at least 1, got 0"),
        ({"seconds": float("nan")}, "seconds must be a finite number above 0, got nan"),
        ({"tokens": 10, "frames": 0}, "frames must be a whole number of at least 1, got 0"),
    ],
)
def test_budgets_that_nothing_meets(budget, message):
    with pytest.raises(ValueError, match=message):
        plan(COSTS, **budget)


def test_lines():
    assert Line.through([2, 6], [1.0, 3.0]).at(10) == pytest.approx(5)
    assert Line.through([2, 6], [3.0, 1.0]) == Line(2.0, 0.0), "noise: nothing gets cheaper"
    assert Line.through([2, 6], [0.5, 3.0]).start == 0.0
    assert Line.through([2, 2], [1.0, 3.0]).at(4) == pytest.approx(2), "the least of equal counts"
    assert Line.through([2, 2, 6, 6], [9.0, 1.0, 3.0, 4.0]).at(10) == pytest.approx(5)


def test_costs_of_the_embedded_model():
    loaded, calls = load("tiny"), []

    inputs = inputs_of(loaded)
    costs = calibrate(loaded.model, inputs, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 5) for done in range(1, 6)]
    assert costs.cells == cells_of(loaded) == 36
    config = loaded.model.config.get_text_config()
    assert costs.cached == 2 * config.num_hidden_layers * config.hidden_size * 4 * config.num_key_value_heads // (
        config.num_attention_heads
    )
    assert costs.weights == sum(each.numel() * 4 for each in loaded.model.parameters())
    assert 0 < plan(costs, tokens=64).chosen.seconds < 60
    with pytest.raises(ValueError, match="the inputs hold no video"):
        calibrate(loaded.model, lambda _: {"input_ids": inputs(2)["input_ids"][:, :1]})

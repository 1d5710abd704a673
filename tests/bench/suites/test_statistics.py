import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidfold.bench.suites.statistics import Estimate, holm, kind_accuracy, mean_accuracy, other_clips, same_clips
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def drawn(seed, clips=40, most=3):
    """Random answers; the first clip has at least one question of every kind."""
    rng = np.random.default_rng(seed)
    asked = rng.integers(0, most + 1, (clips, len(KINDS)))
    asked[0] = np.maximum(asked[0], 1)
    return Score(rng.binomial(asked, 0.7), asked, np.ones(clips))


@given(st.integers(0, 1000))
def test_error_with_one_question_per_clip_is_binomial(seed):
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, (50, len(KINDS)))
    score = Score(right, np.ones_like(right), np.ones(50))
    share = right[:, 0].mean()
    found = kind_accuracy(score, KINDS[0])
    assert found.value == pytest.approx(share)
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 50), abs=1e-12)
    rows = right.mean(1)
    assert mean_accuracy(score).value == pytest.approx(rows.mean())
    assert mean_accuracy(score).error == pytest.approx(rows.std() / math.sqrt(50), abs=1e-12)


@given(st.integers(0, 1000))
def test_estimates_equal_the_score(seed):
    score = drawn(seed)
    assert (mean_accuracy(score).value, mean_accuracy(score).error) == pytest.approx(score.mean())
    for kind, value, error in zip(KINDS, score.accuracy, score.standard_error(), strict=True):
        assert (kind_accuracy(score, kind).value, kind_accuracy(score, kind).error) == pytest.approx((value, error))
    assert mean_accuracy(score).influence.sum() == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 1000))
def test_paired_differences_equal_the_plain_formula(seed):
    one, other = (np.random.default_rng((seed, place)).normal(size=30) for place in (0, 1))
    first, second = (Estimate(x.mean(), (x - x.mean()) / 30) for x in (one, other))
    gap = first - second
    assert gap.value == pytest.approx((one - other).mean())
    assert gap.error == pytest.approx((one - other).std() / math.sqrt(30))
    assert (first - first).p_value == 1


@given(st.integers(0, 1000))
def test_worlds_are_independent_and_models_are_paired(seed):
    one, other = (np.random.default_rng((seed, place)).normal(size=30) for place in (0, 1))
    first, second = (Estimate(x.mean(), (x - x.mean()) / 30) for x in (one, other))
    apart = other_clips([first, second])
    assert apart.value == pytest.approx((one.mean() + other.mean()) / 2)
    assert apart.error == pytest.approx(math.hypot(first.error, second.error) / 2)
    twins = same_clips([first, second])
    assert twins.error == pytest.approx(((one + other) / 2).std() / math.sqrt(30))
    assert same_clips([first, first]).error == pytest.approx(first.error), "the same again tells nothing new"


def test_kinds_without_questions_are_ignored():
    score = drawn(1)
    score.asked[:, 3] = score.right[:, 3] = 0
    others = np.delete(np.arange(len(KINDS)), 3)
    wanted = score.right[:, others].sum(0) / score.asked[:, others].sum(0)
    assert mean_accuracy(score).value == pytest.approx(wanted.mean())
    assert math.isnan(kind_accuracy(score, KINDS[3]).value)


def test_p_values_of_the_normal_distribution():
    # Tables of the normal distribution: 1.96 for 5 %, 2.576 for 1 %.
    assert Estimate(1.959964, np.array([1.0])).p_value == pytest.approx(0.05, abs=1e-6)
    assert Estimate(-2.575829, np.array([1.0])).p_value == pytest.approx(0.01, abs=1e-6)
    assert Estimate(0.5, np.array([0.0])).p_value == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(P_VALUES)
def test_holm_lies_between_none_and_bonferroni(values):
    adjusted = holm(values)
    for value, after in zip(values, adjusted, strict=True):
        assert value <= after <= min(1, len(values) * value) + 1e-12
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@given(P_VALUES, st.floats(0.001, 0.2))
def test_holm_is_step_down(values, level):
    rejected = set()
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        if values[place] > level / (len(values) - rank):
            break
        rejected.add(place)
    close = [abs(after - level) < 1e-12 for after in holm(values)]
    found = {place for place, after in enumerate(holm(values)) if after <= level}
    assert any(close) or found == rejected


def test_pairs_need_the_same_clips():
    with pytest.raises(ValueError, match="got 40 and 30 of them"):
        mean_accuracy(drawn(0)) - mean_accuracy(drawn(0, clips=30))

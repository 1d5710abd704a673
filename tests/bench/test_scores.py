"""Estimates over clips, paired differences, and tests."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.invented import counts
from vidfold.bench.scores import (
    Estimate,
    accuracy,
    equivalence,
    holm,
    marks,
    other_clips,
    p_values,
    same_clips,
)
from vidfold.tiny.questions import KINDS

P_VALUES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12)
SEEDS = st.integers(0, 1000)


def drawn(seed, clips=40, most=3, share=0.7):
    """Random answers; the first clip has at least one question of every kind."""
    rng = np.random.default_rng(seed)
    asked = rng.integers(0, most + 1, (clips, len(KINDS)))
    asked[0] = np.maximum(asked[0], 1)
    return counts(rng.binomial(asked, share), asked)


def of(values):
    """The mean of one number per clip."""
    values = np.array(values, float)
    return Estimate(values / len(values), (values - values.mean()) / len(values), np.full(len(values), 1 / len(values)))


def constant(share, clips=50):
    """Every clip has the same share of right answers."""
    asked = np.full((clips, len(KINDS)), 2)
    return accuracy(counts((share * asked).astype(int), asked))


@given(SEEDS)
def test_error_with_one_question_per_clip_is_binomial(seed):
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, (50, len(KINDS)))
    score = counts(right, np.ones_like(right))
    share = right[:, 0].mean()
    found = accuracy(score, KINDS[0])
    assert found.value == pytest.approx(share)
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 50), abs=1e-12)
    rows = right.mean(1)
    assert accuracy(score).value == pytest.approx(rows.mean())
    assert accuracy(score).error == pytest.approx(rows.std() / math.sqrt(50), abs=1e-12)


@given(SEEDS)
def test_parts_sum_to_the_number_and_influences_to_zero(seed):
    score = drawn(seed)
    shares = [score[f"right_{kind}"].sum() / score[f"asked_{kind}"].sum() for kind in KINDS]
    for kind, share in zip([*KINDS, None], [*shares, np.mean(shares)], strict=True):
        found = accuracy(score, kind)
        assert found.value == pytest.approx(share)
        assert found.influence.sum() == pytest.approx(0, abs=1e-12)
        assert found.weight.sum() == pytest.approx(1)


def test_errors_are_clustered_by_clip():
    score = drawn(0)
    tripled = {name: 3 * values for name, values in score.items()}
    assert accuracy(tripled).error == pytest.approx(accuracy(score).error)


@given(SEEDS)
def test_paired_differences_equal_the_plain_formula(seed):
    one, other = (np.random.default_rng((seed, place)).normal(size=30) for place in (0, 1))
    gap = of(one) - of(other)
    assert gap.value == pytest.approx((one - other).mean())
    assert gap.error == pytest.approx((one - other).std() / math.sqrt(30))
    low, high = gap.interval
    assert (low + high) / 2 == pytest.approx(gap.value)
    assert high - low == pytest.approx(2 * 1.959964 * gap.error)


@given(SEEDS)
def test_worlds_are_independent_and_models_are_paired(seed):
    one, other = (np.random.default_rng((seed, place)).normal(size=30) for place in (0, 1))
    apart = other_clips([of(one), of(other)])
    assert apart.value == pytest.approx((one.mean() + other.mean()) / 2)
    assert apart.error == pytest.approx(math.hypot(of(one).error, of(other).error) / 2)
    twins = same_clips([of(one), of(other)])
    assert twins.error == pytest.approx(((one + other) / 2).std() / math.sqrt(30))
    assert same_clips([of(one), of(one)]).error == pytest.approx(of(one).error), "the same again tells nothing new"


def test_kinds_without_questions_are_ignored():
    score = drawn(1)
    score[f"asked_{KINDS[3]}"][:] = score[f"right_{KINDS[3]}"][:] = 0
    others = [score[f"right_{kind}"].sum() / score[f"asked_{kind}"].sum() for kind in KINDS if kind != KINDS[3]]
    assert accuracy(score).value == pytest.approx(np.mean(others))
    missing = accuracy(score, KINDS[3])
    assert math.isnan(missing.value)
    assert math.isnan(missing.error)
    assert np.isnan(p_values([missing - missing])).all()
    assert math.isnan(equivalence(missing - missing))
    assert marks([missing - missing]) == [""]


def test_one_clip_has_no_error():
    score = drawn(2, clips=1)
    assert accuracy(score).value > 0
    assert math.isnan(accuracy(score).error)
    assert np.isnan(accuracy(score).interval).all()
    rare = drawn(3)
    for name in ("asked", "right"):
        rare[f"{name}_{KINDS[0]}"][1:] = 0
    assert math.isnan(accuracy(rare, KINDS[0]).error), "one clip has this kind"
    assert accuracy(rare).error > 0


def test_clips_that_agree_have_an_error_of_exactly_zero():
    for clips, asked, right in ((7, 3, 1), (50, 7, 6), (33, 9, 2)):
        every = np.full((clips, len(KINDS)), 1)
        assert accuracy(counts(right * every, asked * every)).error == 0


def test_same_difference_on_every_clip_is_significant():
    gap = constant(0.0) - constant(1.0)
    assert (gap.value, gap.error) == (-1, 0)
    assert p_values([gap])[0] == pytest.approx(1e-5)
    assert marks([gap]) == ["▼"]
    assert np.isnan(gap.interval).all(), "no spread tells no width"


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=8))
def test_p_value_counts_all_exchanges(values):
    signed = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in _signs(len(values))]
    wanted = np.mean([each >= abs(sum(values)) - 1e-9 for each in signed])
    assert p_values([of(values)])[0] == pytest.approx(wanted)


def test_p_values_by_chance_equal_the_binomial_test():
    for ups in (11, 15, 17):
        gap = of([1.0] * ups + [-1.0] * (20 - ups) + [0.0] * 30)
        wanted = min(1, 2 * sum(math.comb(20, k) for k in range(ups, 21)) / 2**20)
        assert p_values([gap])[0] == pytest.approx(wanted, abs=0.004)


def test_p_values_do_not_depend_on_the_family():
    gaps = [of(np.random.default_rng(seed).normal(0.1, 1, 30)) for seed in range(4)]
    assert p_values(gaps) == [p_values([gap])[0] for gap in gaps]


def test_false_findings_are_rare():
    """Two settings with the same chances: at most about 5 % of the p-values are at most 5 %."""
    gaps = [accuracy(_answers((seed, 0))) - accuracy(_answers((seed, 1))) for seed in range(400)]
    share = np.mean(np.array(p_values(gaps)) <= 0.05)
    assert 0.02 < share < 0.08


def test_equivalence():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, 400)
    noise -= noise.mean()
    assert equivalence(of(noise)) < 1e-6
    assert equivalence(of(noise + 0.02)) == pytest.approx(0.5)
    assert equivalence(of(noise - 0.05)) > 0.99
    # Tables of the normal distribution: 1.645 for 5 % on one side.
    error = of(noise).error
    assert equivalence(of(noise + 0.02 - 1.644854 * error)) == pytest.approx(0.05, abs=1e-4)


def test_few_clips_without_a_difference_are_not_equivalent():
    """Where no clip of n differs, a share of 2 % of all clips is excluded if 0.98 ** n is small."""
    for clips in (10, 50, 200):
        assert equivalence(of([0.0] * clips)) == pytest.approx(0.98**clips)
    assert marks([of([0.0] * 50)]) == [""]
    assert marks([of([0.0] * 200)]) == ["≈"]
    assert equivalence(of([1.0] + [0.0] * 199)) == pytest.approx(0.98**200 + 200 * 0.02 * 0.98**199)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([math.nan, 1e-9, 1e-8]) == pytest.approx([math.nan, 2e-9, 1e-8], nan_ok=True)


@given(P_VALUES)
def test_holm_lies_between_none_and_bonferroni(values):
    tested = [value for value in values if not math.isnan(value)]
    for value, after in zip(values, holm(values), strict=True):
        assert math.isnan(after) if math.isnan(value) else value <= after <= min(1, len(tested) * value) + 1e-12
    adjusted = [after for after in holm(values) if not math.isnan(after)]
    assert adjusted == holm(tested), "NaN is no test"
    order = np.argsort(tested, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@given(P_VALUES, st.floats(0.001, 0.2))
def test_holm_is_step_down(values, level):
    values = [value for value in values if not math.isnan(value)]
    rejected = set()
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        if values[place] > level / (len(values) - rank):
            break
        rejected.add(place)
    close = [abs(after - level) < 1e-12 for after in holm(values)]
    found = {place for place, after in enumerate(holm(values)) if after <= level}
    assert any(close) or found == rejected


def test_marks_are_corrected_for_the_family():
    gap = of([1.0] * 14 + [-1.0] * 4)
    assert p_values([gap])[0] == pytest.approx(0.031, abs=0.002)
    assert marks([gap]) == ["▲"]
    assert marks([gap, of([1.0, -1.0] * 9)]) == ["", ""]


def test_pairs_need_the_same_clips():
    with pytest.raises(ValueError, match="got 40 and 30"):
        accuracy(drawn(0)) - accuracy(drawn(0, clips=30))


def _signs(count):
    return itertools.product((1, -1), repeat=count)


def _answers(seed, clips=30):
    asked = np.random.default_rng(seed[0]).integers(0, 3, (clips, len(KINDS)))
    asked[0] = np.maximum(asked[0], 1)
    return counts(np.random.default_rng(seed).binomial(asked, 0.9), asked)

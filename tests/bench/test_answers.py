from dataclasses import astuple

import numpy as np
import pytest

from vidfold.bench.answers import MEAN, accuracy, check_held_out, counts, paired_differences
from vidfold.tiny import seeds
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS


def score(seed: int, share: float = 0.8, clips: int = 200, like: Score | None = None, changed: float = 1.0) -> Score:
    rng = np.random.default_rng(seed)
    right = (rng.random((clips, len(KINDS))) < share).astype(int)
    if like is not None:
        right = np.where(rng.random(right.shape) < changed, right, like.right)
    return Score(right, np.ones_like(right), np.ones(clips))


def test_error_with_one_question_per_clip_is_binomial():
    one = score(0)
    for place, kind in enumerate(KINDS):
        share = one.right[:, place].mean()
        estimate = accuracy(one)[kind]
        assert estimate.value == pytest.approx(share)
        assert estimate.error == pytest.approx((share * (1 - share) / 200) ** 0.5)
    assert accuracy(one)[MEAN].value == pytest.approx(one.right.mean())


def test_errors_are_clustered_by_clip():
    one = score(0)
    tripled = Score(3 * one.right, 3 * one.asked, one.kept)
    assert astuple(accuracy(tripled)["scene"]) == pytest.approx(astuple(accuracy(one)["scene"]))


def test_difference_to_itself_is_zero():
    for gap in paired_differences(score(0), score(0)).values():
        assert (gap.value, gap.low, gap.high) == (0, 0, 0)


def test_interval_matches_the_standard_error():
    full = score(0, 0.95)
    other = score(1, 0.8, like=full, changed=0.5)
    gap = paired_differences(other, full)[MEAN]
    value, error = other.gain(full)
    assert gap.value == pytest.approx(value)
    assert gap.low == pytest.approx(value - 1.96 * error, abs=0.15 * error)
    assert gap.high == pytest.approx(value + 1.96 * error, abs=0.15 * error)


def test_pairing_narrows_the_interval():
    full = score(0, 0.8)
    other = score(1, 0.8, like=full, changed=0.05)
    gap = paired_differences(other, full)[MEAN]
    unpaired = 2 * 1.96 * (accuracy(full)[MEAN].error ** 2 + accuracy(other)[MEAN].error ** 2) ** 0.5
    assert gap.high - gap.low < unpaired / 2


def test_same_seed_same_interval():
    full, other = score(0), score(1)
    assert paired_differences(other, full, seed=3) == paired_differences(other, full, seed=3)
    assert paired_differences(other, full, seed=3) != paired_differences(other, full, seed=4)


def test_counts_by_kind():
    kinds = ["shape", "scene", "shape"]
    one, two = KINDS.index("scene"), KINDS.index("shape")
    counted = counts(kinds)
    assert (counted[one], counted[two], counted.sum()) == (1, 2, 3)
    chosen = counts(kinds, np.array([True, False, False]))
    assert (chosen[two], chosen.sum()) == (1, 1)
    assert counts([]).tolist() == [0] * len(KINDS)


def unasked(one: Score, kind: str) -> Score:
    """The same score without questions of a kind."""
    asked = one.asked.copy()
    asked[:, KINDS.index(kind)] = 0
    return Score(one.right * asked, asked, one.kept)


def test_kinds_without_questions_are_omitted():
    full, other = unasked(score(0), "where"), unasked(score(1), "where")
    told = accuracy(full)
    assert set(told) == {MEAN, *KINDS} - {"where"}
    assert told[MEAN].value == pytest.approx(np.mean([told[kind].value for kind in KINDS if kind != "where"]))
    gaps = paired_differences(other, full)
    assert set(gaps) == set(told)
    value, error = other.gain(full)
    assert gaps[MEAN].value == pytest.approx(value)
    assert gaps[MEAN].high - gaps[MEAN].low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_rare_kinds_use_only_draws_that_have_them():
    full, other = score(0, clips=12), score(1, 0.3, clips=12)
    asked = full.asked.copy()
    asked[2:, 0] = 0
    full, other = (Score(one.right * asked, asked, one.kept) for one in (full, other))
    gap = paired_differences(other, full)[KINDS[0]]
    assert gap.low <= gap.value <= gap.high


def test_training_clips_raise():
    for split in ("search", "confirm", "final"):
        check_held_out(seeds(split, 3, world="second"))
    with pytest.raises(ValueError, match="seed 5 is in the train split; use clips that the model was not trained on"):
        check_held_out(seeds("train", 3, start=5))


def test_different_clips_raise():
    with pytest.raises(ValueError, match=r"paired scores need the same clips, got \(200, 9\) and \(100, 9\)"):
        paired_differences(score(0), score(0, clips=100))

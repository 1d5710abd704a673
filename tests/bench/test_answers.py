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


def test_errors_of_one_question_a_clip_are_binomial():
    one = score(0)
    for place, kind in enumerate(KINDS):
        share = one.right[:, place].mean()
        estimate = accuracy(one)[kind]
        assert estimate.value == pytest.approx(share)
        assert estimate.error == pytest.approx((share * (1 - share) / 200) ** 0.5)
    assert accuracy(one)[MEAN].value == pytest.approx(one.right.mean())


def test_questions_of_one_clip_are_one_draw():
    one = score(0)
    tripled = Score(3 * one.right, 3 * one.asked, one.kept)
    assert accuracy(tripled)["scene"] == pytest.approx(accuracy(one)["scene"])


def test_a_setting_does_not_differ_from_itself():
    for gap in paired_differences(score(0), score(0)).values():
        assert (gap.value, gap.low, gap.high) == (0, 0, 0)


def test_the_interval_is_that_of_its_standard_error():
    full = score(0, 0.95)
    other = score(1, 0.8, like=full, changed=0.5)
    gap = paired_differences(other, full)[MEAN]
    value, error = other.gain(full)
    assert gap.value == pytest.approx(value)
    assert gap.low == pytest.approx(value - 1.96 * error, abs=0.15 * error)
    assert gap.high == pytest.approx(value + 1.96 * error, abs=0.15 * error)


def test_pairs_say_more_than_two_samples():
    full = score(0, 0.8)
    other = score(1, 0.8, like=full, changed=0.05)
    gap = paired_differences(other, full)[MEAN]
    unpaired = 2 * 1.96 * (accuracy(full)[MEAN].error ** 2 + accuracy(other)[MEAN].error ** 2) ** 0.5
    assert gap.high - gap.low < unpaired / 2


def test_the_same_seed_draws_the_same_clips():
    full, other = score(0), score(1)
    assert paired_differences(other, full, seed=3) == paired_differences(other, full, seed=3)
    assert paired_differences(other, full, seed=3) != paired_differences(other, full, seed=4)


def test_kinds_are_counted():
    kinds = ["shape", "scene", "shape"]
    assert counts(kinds).tolist() == [1, 0, 2, 0, 0, 0]
    assert counts(kinds, np.array([True, False, False])).tolist() == [0, 0, 1, 0, 0, 0]
    assert counts([]).tolist() == [0] * len(KINDS)


def test_only_test_clips_are_counted():
    check_held_out(seeds("test", 3))
    with pytest.raises(ValueError, match="seed 1000000000 is of the validation split; answers are counted on test"):
        check_held_out(seeds("validation", 3))


def test_other_clips_make_no_pairs():
    with pytest.raises(ValueError, match=r"paired scores need the same clips, got \(200, 6\) and \(100, 6\)"):
        paired_differences(score(0), score(0, clips=100))

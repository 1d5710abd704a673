from types import SimpleNamespace

import numpy as np
import pytest

from vidfold.tiny.evaluate import Score, Setting
from vidfold.tiny.questions import KINDS


def random_score(seed, clips=200):
    rng = np.random.default_rng(seed)
    asked = np.ones((clips, len(KINDS)), int)
    return Score((rng.random(asked.shape) < 0.8).astype(int), asked, np.ones(clips))


def test_kinds_without_questions_are_nan_and_ignored():
    whole = random_score(0)
    missing = np.arange(len(KINDS)) % 3 == 1
    score = Score(whole.right * ~missing, whole.asked * ~missing, whole.kept)
    for numbers in (score.accuracy, score.standard_error()):
        np.testing.assert_array_equal(np.isnan(numbers), missing)
    assert score.mean()[0] == pytest.approx(whole.accuracy[~missing].mean())
    assert score.gain(score) == (0, 0)


def test_kinds_of_some_clips_are_scored_on_those_clips():
    whole = random_score(0)
    here = np.arange(200) % 2 == 0
    asked = whole.asked.copy()
    asked[~here, 1] = 0
    half = Score(whole.right * asked, asked, whole.kept)
    only = Score(whole.right[here], whole.asked[here], whole.kept[here])
    assert half.accuracy[1] == only.accuracy[1]
    assert half.standard_error()[1] == pytest.approx(only.standard_error()[1])
    np.testing.assert_array_equal(half.accuracy[2:], whole.accuracy[2:])


def test_random_methods_use_the_seed_of_each_clip():
    setting = Setting("random", 0.1)
    assert setting.reducer(None, seed=1) != setting.reducer(None, seed=2)


def test_standard_errors_of_single_questions_are_binomial():
    score = random_score(0)
    share = score.accuracy
    np.testing.assert_allclose(score.standard_error(), np.sqrt(share * (1 - share) / 200))


def test_standard_errors_are_over_clips():
    score = random_score(0)
    tripled = Score(3 * score.right, 3 * score.asked, score.kept)
    np.testing.assert_allclose(tripled.standard_error(), score.standard_error())


def test_paired_difference_and_its_error():
    score, other = random_score(0), random_score(1)
    assert score.gain(score) == (0, 0)
    gain, error = score.gain(other)
    assert gain == pytest.approx(score.mean()[0] - other.mean()[0])
    assert error == pytest.approx(np.hypot(score.mean()[1], other.mean()[1]), rel=0.2)


def test_reference_anchors_scale_with_retention():
    tokens = SimpleNamespace(features=np.empty((8, 144, 1)))
    anchors = [Setting("aot-reference", share).reducer(tokens, seed=0).anchors for share in (0.1, 0.25, 1.0)]
    assert anchors == [25, 62, 144]


def test_bad_settings_raise():
    with pytest.raises(ValueError, match=r"unknown method 'aott'; there are: .*aot"):
        Setting("aott", 0.1)
    with pytest.raises(ValueError, match=r"retention must be in \(0, 1\]; got 2"):
        Setting("aot", 2)

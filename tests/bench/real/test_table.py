import math

import numpy as np
import pytest

from vidfold.bench.real.table import mean

VALUES = np.array([0.1, 0.5, 0.3, 0.9])


def test_videos_of_sources_of_their_own_have_the_usual_error():
    value, error = mean(VALUES, np.array(["a", "b", "c", "d"]))
    assert value == pytest.approx(0.45)
    assert error == pytest.approx(VALUES.std(ddof=1) / 2)


def test_copies_of_a_video_tell_nothing_new():
    every = mean(VALUES, np.array(["a", "b", "c", "d"]))
    assert mean(np.tile(VALUES, 3), np.array(["a", "b", "c", "d"] * 3)) == pytest.approx(every)


def test_one_source_has_no_error():
    value, error = mean(VALUES, np.array(["a"] * 4))
    assert value == pytest.approx(0.45)
    assert math.isnan(error)

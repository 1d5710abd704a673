"""A method at a retention, and the methods that a bench may compare."""

import pytest

from tests.conftest import make_video
from vidfold import Random
from vidfold.bench.settings import FULL, Fold, Setting, exact_methods, outside_methods
from vidfold.reducers import METHODS, FastV
from vidfold.tokens import OPTIONAL


def test_random_methods_use_the_seed_of_each_clip():
    tokens = make_video()
    for setting in (Setting("random", 0.1), Setting("given", 0.1, Random(retention=0.1, seed=7))):
        assert [setting.reducer(tokens, seed).seed for seed in (1, 2)] == [1, 2]


def test_reference_anchors_scale_with_retention():
    tokens = make_video(grid=(12, 12))
    anchors = [Setting("aot-reference", share).reducer(tokens, 0).anchors for share in (0.1, 0.25, 1.0)]
    assert anchors == [25, 62, 144]


def test_given_methods_keep_their_fields():
    given = METHODS["visionzip"](retention=0.3)
    assert Setting("zip", 0.1, given).reducer(make_video(), 0) == given


def test_methods_get_what_they_need_and_no_more(monkeypatch):
    seen = []
    monkeypatch.setattr(METHODS["aot-paper"], "__call__", lambda self, tokens: seen.append(tokens))
    Fold.of(Setting("aot-paper", 0.1), make_video(), 0)
    assert {name for name in OPTIONAL if getattr(seen[0], name) is not None} == {"shallow", "deep"}


def test_methods_inside_the_model_do_not_fold_before_it():
    fold = Fold.of(Setting("fastv", 0.1), make_video(), 0)
    assert (fold.reduction, fold.milliseconds) == (None, None)
    assert fold.reducer == FastV(retention=0.1)
    assert Fold.of(FULL, make_video(), 0).reduction.retention == 1


def test_methods_to_compare():
    assert outside_methods()[0] == "aot"
    assert {"fastv", "pyramiddrop", "identity"}.isdisjoint(outside_methods())
    assert {"llava-scissor", "divprune", "simplecluster"} < set(exact_methods())
    assert set(outside_methods()) - set(exact_methods()) == {"aot-reference"}


def test_bad_settings_raise():
    with pytest.raises(ValueError, match=r"unknown method 'aott'; .*there are: .*aot"):
        Setting("aott", 0.1)
    with pytest.raises(ValueError, match=r"retention must be in \(0, 1\], got 2"):
        Setting("aot", 2)

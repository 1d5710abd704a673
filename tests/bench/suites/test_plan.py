import pytest

from vidfold.bench.suites import SUITES, Plan
from vidfold.bench.suites.plan import UNFOLDED
from vidfold.cli import quality
from vidfold.tiny.scenes import split_of, world_of


def test_suites_have_different_splits_and_search_uses_the_first_world():
    for name, suite in SUITES.items():
        members = [seed for case in suite.cases(2) for seed, _ in case.members()]
        assert {split_of(seed) for seed in members} == {name}
        assert {world_of(seed) for seed in members} == {"first"} | ({"second"} if name != "search" else set())
        assert {case.model for case in suite.cases()} == {"varied", "whole"}
    assert tuple(SUITES) == quality.SUITES


def test_both_models_get_the_same_clips():
    one, other = SUITES["search"].cases(3)
    assert one.members() == other.members()


def test_methods_and_retentions_are_unique_and_all_tokens_come_first():
    plan = Plan.of("final", ["random", "aot", "random", "identity"], [0.1, 0.5, 0.1])
    assert plan.cells() == (UNFOLDED, ("random", 0.5), ("random", 0.1), ("aot", 0.5), ("aot", 0.1))
    assert plan.clips == 200
    assert plan.frames == (8, 16, 32)


def test_all_means_methods_before_the_language_model():
    plan = Plan.of("final", ["all"])
    assert plan.methods[0] == "aot"
    assert {"fastv", "pyramiddrop", "identity"}.isdisjoint(plan.methods)
    assert len(plan.retentions) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"suite": "test"}, "unknown suite 'test'; there are: search, confirm, final"),
        ({"methods": ["none"]}, "unknown method 'none'"),
        ({"methods": []}, "a suite compares methods, got \\[\\]"),
        ({"retentions": [0.0]}, "got 0"),
        ({"clips": 0}, "got 0"),
        ({"frames": ()}, "got 200 and \\(\\)"),
    ],
)
def test_bad_arguments_raise(given, message):
    with pytest.raises(ValueError, match=message):
        Plan.of(**{"suite": "final", "methods": ["aot"]} | given)

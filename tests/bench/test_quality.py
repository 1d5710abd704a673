"""Plans of both kinds of quality bench, and the files of a complete one."""

import sys

import pytest

from vidfold import tiny as worlds
from vidfold.bench.clips import Scenes
from vidfold.bench.quality import SUITES, quality_plan, settings, suite_plan, write
from vidfold.bench.settings import FULL
from vidfold.cli import quality as command
from vidfold.reducers import METHODS
from vidfold.tiny.scenes import RANGES, split_of, world_of


def test_all_means_the_whole_registry():
    found = settings(["all"], [0.25, 0.1])
    assert found[0] == FULL
    assert {each.method for each in found} == set(METHODS)
    assert len(found) == len(set(found)) == 1 + 2 * (len(METHODS) - 1)


def test_suites_have_different_splits_and_search_uses_the_first_world(twins):
    for name in SUITES:
        plan = suite_plan(name, ["aot"], clips=2, models=twins)
        clips = [int(clip) for bench in plan.benches for clip in bench.source.clips]
        assert {split_of(clip) for clip in clips} == {name}
        assert {world_of(clip) for clip in clips} == {"first"} | ({"second"} if name != "search" else set())
        assert {bench.loaded.name for bench in plan.benches} == {"tiny", "tiny-whole"}
    assert tuple(SUITES) == command.SUITES


def test_final_uses_clips_that_nobody_has_looked_at(twins):
    plan = suite_plan("final", ["aot"], clips=3, models=twins)
    assert plan.benches[0].source.clips[0] == str(RANGES["final"].start + 700_000)


def test_suite_sorts_retentions_and_keeps_the_order_of_methods(twins):
    plan = suite_plan("final", ["random", "aot", "random", "identity"], [0.1, 0.5, 0.1], models=twins)
    told = [(each.method, each.retention) for each in plan.settings]
    assert told == [("identity", 1.0), ("random", 0.5), ("aot", 0.5), ("random", 0.1), ("aot", 0.1)]
    assert len(plan.benches[0].source.clips) == 200


def test_all_in_a_suite_means_methods_before_the_language_model(twins):
    plan = suite_plan("final", ["all"], models=twins)
    methods = list(dict.fromkeys(each.method for each in plan.settings))
    assert methods[:2] == ["identity", "aot"]
    assert {"llava-scissor", "divprune"} < set(methods)
    assert {"fastv", "pyramiddrop"}.isdisjoint(methods)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"suite": "test"}, "unknown suite 'test'; there are: search, confirm, final"),
        ({"methods": ["none"]}, "unknown method 'none'"),
        ({"methods": []}, r"methods and retentions must not be empty, got \[\]"),
        ({"methods": ["identity"]}, r"a suite compares methods, got \['identity'\]"),
        ({"methods": ["aot", "fastv"]}, "fastv works inside the language model"),
        ({"retentions": [0.0]}, r"retention must be in \(0, 1\], got 0.0"),
        ({"retentions": []}, r"must not be empty, got \['aot'\] and \[\]"),
        ({"clips": 0}, "clips must be a whole number of at least 1, got 0"),
        ({"frames": ()}, "frames must be at least one length"),
    ],
)
def test_bad_suites_raise(given, message):
    with pytest.raises(ValueError, match=message):
        suite_plan(**{"suite": "final", "methods": ["aot"], "models": {}} | given)


def test_bad_plans_raise(small):
    for given, message in (({"seed": -1}, "seed must be"), ({"max_new_tokens": 0}, "max_new_tokens must be")):
        with pytest.raises(ValueError, match=message):
            quality_plan(settings(["aot"], [0.1]), [Scenes(1)], [small], **given)


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(worlds, "path", lambda read="varied": tmp_path / read)
    with pytest.raises(ValueError, match=r"the model 'tiny', which a suite also needs, has no weights in '.*varied'"):
        suite_plan("search", ["random"])


def test_quality_writes_all_files(bench):
    folder, results = bench
    text = write(results.plan, folder)
    names = ["quality.csv", "quality.md"]
    names += [f"quality-{name}.{form}" for name in ("retention", "time") for form in ("svg", "png")]
    for name in names:
        assert (folder / name).stat().st_size > 1000
        assert str(folder / name) in text
    assert {each.name for each in folder.iterdir()} == {*names, "clips"}
    assert "small, scenes 0-2 (search), 10 % of the tokens requested" in text
    assert (
        (folder / "quality.md").read_text().startswith("### small, scenes 0-2 (search), 25 % of the tokens requested")
    )


def test_suite_writes_all_files(suite):
    folder, results = suite
    text = write(results.plan, folder)
    assert {path.name for path in folder.iterdir()} == {
        *("suite.csv", "suite.md", "clips", "suite-retention.svg", "suite-retention.png")
    }
    assert len(list((folder / "clips").iterdir())) == 4
    assert text.startswith("Suite confirm\n\nClips: scenes 0-2")
    assert "\n\nBoth models, both worlds\n\nRight answers, in %, with marks against random:\n\nmethod" in text
    assert "Paired differences to all tokens, in points" in text


def test_missing_matplotlib_raises_before_measuring(tmp_path, bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install .*'matplotlib>"):
        write(bench[1].plan, tmp_path)
    assert list(tmp_path.iterdir()) == []

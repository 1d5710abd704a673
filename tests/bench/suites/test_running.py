import dataclasses

import numpy as np
import pytest

from vidfold.app.loading import VideoModel
from vidfold.bench.records import read
from vidfold.bench.suites import Plan, run, running, write_suite
from vidfold.bench.suites.plan import UNFOLDED
from vidfold.bench.suites.statistics import mean_accuracy

PLAN = Plan.of("confirm", ["random", "aot-reference"], [0.25], clips=3, frames=(4, 8))


@pytest.fixture(scope="module")
def twins(small):
    return {name: VideoModel(name, small, None, 0.0) for name in ("varied", "whole")}


@pytest.fixture(scope="module")
def bench(tmp_path_factory, twins):
    """Folder of a finished run, its output and its progress."""
    folder, seen = tmp_path_factory.mktemp("suite"), []
    text = write_suite(PLAN, folder, models=twins, watch=lambda done, total: seen.append((done, total)))
    return folder, text, seen


def test_files_are_written(bench):
    folder, text, seen = bench
    assert {path.name for path in folder.iterdir()} == {
        *("suite.csv", "suite.md", "counts"),
        *(f"suite-retention.{form}" for form in ("svg", "png")),
    }
    assert len(list((folder / "counts").iterdir())) == 4
    assert text.startswith("suite confirm, both models, both worlds: right answers in %")
    assert seen[-1] == (12, 12)


def test_rows_have_settings_and_provenance(bench, small):
    rows = read(bench[0] / "suite.csv")
    assert len(rows) == 4 * 3
    assert {(row["model"], row["world"]) for row in rows} == {
        (model, world) for model in ("varied", "whole") for world in ("first", "second")
    }
    assert [row["method"] for row in rows[:3]] == ["identity", "random", "aot-reference"]
    assert rows[1]["frames"] == "4 8"
    assert float(rows[1]["layer_retention"]) == pytest.approx(0.25)
    assert rows[1]["settings"] == '{"retention": 0.25}'
    assert '"anchors": ' in rows[2]["settings"]
    assert all(row[name] for row in rows for name in ("weights", "code", "date", "threads", "accuracy_mean"))


def test_second_run_measures_nothing_and_gives_the_same(bench, twins, monkeypatch):
    before = read(bench[0] / "suite.csv")
    monkeypatch.setattr(running, "score", lambda *_: pytest.fail("measured again"))
    results = run(PLAN, bench[0], models=twins)
    assert results.rows == before
    for row, (case, cell) in zip(results.rows, [(c, cell) for c in PLAN.cases() for cell in PLAN.cells()], strict=True):
        assert mean_accuracy(results.scores[case][cell]).value == pytest.approx(float(row["accuracy_mean"]), abs=1e-6)


def test_only_missing_cells_are_measured(bench, twins, monkeypatch, tmp_path):
    """Resumes a run that stopped after its first case."""
    plain, asked = running.score, []

    def once(model, case, entries, watch):
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append((case, [entry.label for entry in entries]))
        return plain(model, case, entries, watch)

    monkeypatch.setattr(running, "score", once)
    with pytest.raises(KeyboardInterrupt):
        run(PLAN, tmp_path, models=twins)
    assert len(read(tmp_path / "suite.csv")) == 3
    monkeypatch.setattr(running, "score", lambda *each: asked.append((each[1], None)) or plain(*each))
    results = run(PLAN, tmp_path, models=twins)
    assert [case for case, _ in asked] == list(PLAN.cases())
    again = run(PLAN, bench[0], models=twins)
    for case in PLAN.cases():
        for cell in PLAN.cells():
            np.testing.assert_array_equal(results.scores[case][cell].right, again.scores[case][cell].right)
            np.testing.assert_array_equal(results.scores[case][cell].kept, again.scores[case][cell].kept)

    more = dataclasses.replace(PLAN, methods=("random", "average"))
    monkeypatch.setattr(
        running, "score", lambda *each: asked.append((each[1], [x.label for x in each[2]])) or plain(*each)
    )
    run(more, tmp_path, models=twins)
    assert [labels for _, labels in asked[-4:]] == [["average 0.25"]] * 4
    assert len(read(tmp_path / "suite.csv")) == 16


def test_rows_without_their_answers_are_measured_again(twins, tmp_path):
    plan = dataclasses.replace(PLAN, methods=("random",), clips=1)
    first = run(plan, tmp_path, models=twins)
    for path in (tmp_path / "counts").iterdir():
        path.unlink()
    second = run(plan, tmp_path, models=twins)
    for case in plan.cases():
        np.testing.assert_array_equal(first.scores[case][UNFOLDED].right, second.scores[case][UNFOLDED].right)
    assert len(second.rows) == 8


def test_file_of_another_version_raises(twins, tmp_path):
    (tmp_path / "suite.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns than this version writes"):
        run(PLAN, tmp_path, models=twins)

"""Measured results beside published ones."""

import json
import math
from dataclasses import dataclass

import pytest

from tests.evaluation.results import MVBENCH, SCORES, put_run
from vidfold.evaluation.compare import Line, compare
from vidfold.evaluation.published import AVERAGE, Number, load
from vidfold.evaluation.results import BENCHMARKS, Measurement, read_results
from vidfold.evaluation.tables import COLUMNS, comparison_rows, comparison_text

VIDEOMME = {"videomme": SCORES["videomme"]}


@dataclass(frozen=True)
class Comparison:
    """Lines by status; those with both a number and a measurement stay lines."""

    compared: list[Line]
    missing: list[Number]
    unmatched: list[Measurement]


def compared(folder, name: str = "1") -> Comparison:
    lines = compare(load(name), read_results(folder))
    return Comparison(
        [line for line in lines if line.status == "compared"],
        [line.number for line in lines if line.status == "missing"],
        [line.measured for line in lines if line.status == "unmatched"],
    )


def shown(folder, name: str = "1") -> str:
    return comparison_text(load(name), compare(load(name), read_results(folder)))


def reasons(folder, name: str = "1") -> list[tuple[str, str]]:
    comparison = compared(folder, name)
    assert not comparison.compared
    return [(each.benchmark, each.reason) for each in comparison.unmatched]


def differences(comparison: Comparison) -> dict[str, float]:
    """Benchmark -> measured minus published, of a single row."""
    assert len({pair.number.source for pair in comparison.compared}) == 1
    found = {pair.number.benchmark: pair.difference for pair in comparison.compared}
    assert len(found) == len(comparison.compared)
    return found


def test_run_is_compared_with_the_row_of_its_settings(tmp_path):
    put_run(tmp_path, retention=0.1)
    comparison = compared(tmp_path)
    rows = {(pair.number.method, pair.number.retention, pair.number.source) for pair in comparison.compared}
    assert rows == {("AOT", 0.1, "AOT paper")}
    assert differences(comparison) == {
        "MVBench": pytest.approx(49.5 - 57.0),
        "EgoSchema": pytest.approx(59.6 - 60.6),
        "LongVideoBench": pytest.approx(55.2 - 54.2),
        "VideoMME": pytest.approx(56.6 - 56.1),
        AVERAGE: pytest.approx((49.5 + 59.6 + 55.2 + 56.6) / 4 - 57.0),
    }
    assert not comparison.unmatched
    assert len(comparison.missing) == len(load("1").numbers) - 5


def test_standard_errors(tmp_path):
    put_run(tmp_path)
    errors = {each.benchmark: each.error for each in read_results(tmp_path)}
    assert errors["VideoMME"] == pytest.approx(1.2)  # clustered by video
    assert errors["MVBench"] == pytest.approx(3 / math.sqrt(20))
    assert errors["EgoSchema"] == pytest.approx(math.sqrt(59.6 * 40.4 / 5030))
    assert errors["LongVideoBench"] == pytest.approx(math.sqrt(55.2 * 44.8 / 1336))
    average = {pair.number.benchmark: pair.measured for pair in compared(tmp_path).compared}[AVERAGE]
    assert average.error == pytest.approx(math.hypot(*errors.values()) / 4)


def test_the_papers_form_is_compared_with_its_row(tmp_path):
    put_run(tmp_path, VIDEOMME, method="aot-paper")
    (pair,) = compared(tmp_path).compared
    assert pair.number.method == "AOT"
    assert f"\n{pair.measured.run.config_hash}  aot-paper(retention=0.1) " in shown(tmp_path)


def test_kept_share_of_the_task(tmp_path):
    put_run(tmp_path)
    kept = {each.benchmark: each.kept for each in read_results(tmp_path)}
    assert kept == {
        "MVBench": pytest.approx(0.09997),
        "EgoSchema": 0.09997,
        "LongVideoBench": 0.09997,
        "VideoMME": 0.1004,
    }


def test_an_average_needs_all_of_its_parts(tmp_path):
    put_run(tmp_path, VIDEOMME)
    comparison = compared(tmp_path)
    assert differences(comparison).keys() == {"VideoMME"}
    row = ("AOT", 0.1, "AOT paper")
    missing = [each for each in comparison.missing if (each.method, each.retention, each.source) == row]
    assert [each.benchmark for each in missing] == ["MVBench", "EgoSchema", "LongVideoBench", AVERAGE]


def test_tasks_of_one_configuration_may_lie_in_several_files(tmp_path):
    first = {task: SCORES[task] for task in MVBENCH[:7]}
    put_run(tmp_path, first, date="20260101_120000")
    put_run(tmp_path, {task: SCORES[task] for task in MVBENCH[7:]}, date="20260102_120000")
    (pair,) = compared(tmp_path).compared
    assert (pair.number.benchmark, pair.measured.value) == ("MVBench", pytest.approx(49.5))
    assert len(pair.measured.files) == 2


def test_the_latest_of_equal_measurements_counts(tmp_path):
    put_run(
        tmp_path, {"videomme": SCORES["videomme"] | {"videomme_perception_score,none": 50.0}}, date="20260101_120000"
    )
    put_run(tmp_path, VIDEOMME, date="20260102_120000")
    comparison = compared(tmp_path)
    assert [pair.measured.value for pair in comparison.compared] == [56.6]
    (earlier,) = comparison.unmatched
    assert earlier.reason == "measured again in some__model/20260102_120000_results.json"
    assert earlier.files == ("some__model/20260101_120000_results.json",)


def test_unfolded_is_compared_with_every_baseline(tmp_path):
    put_run(tmp_path, VIDEOMME, method="none")
    assert {pair.number.source for pair in compared(tmp_path).compared} == {"AOT paper", "FlashVID paper"}


def test_methods_that_drop_inside_give_all_tokens_to_the_model(tmp_path):
    put_run(tmp_path, VIDEOMME, method="fastv", retention=0.2)
    (pair,) = compared(tmp_path).compared
    assert (pair.number.method, pair.measured.run.retention) == ("FastV", 1.0)


def test_retention_may_depend_on_content(tmp_path):
    kept = {"before": 6272.0, "after": 640.0, "kept": {"mean": 0.102, "std": 0.01, "n": 2}}
    put_run(tmp_path, VIDEOMME, method="aot-reference", described={"tokens": kept, "retention": None})
    (pair,) = compared(tmp_path).compared
    assert (pair.number.retention, pair.measured.run.retention) == (0.1, 0.102)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"retention": 0.13}, "aot-paper at 13 %, 32 frames, llava-hf/llava-onevision-qwen2-7b-ov-hf"),
        ({"method": "random"}, "random at 10 %"),
        ({"method": "aot"}, "aot at 10 %"),
        ({"frames": 16}, "aot-paper at 10 %, 16 frames"),
        ({"pretrained": "llava-hf/llava-onevision-qwen2-7b-ov-chat-hf"}, "aot-paper at 10 %, 32 frames, llava-hf/"),
        ({"pretrained": "tiny"}, "aot-paper at 10 %, 32 frames, tiny"),
    ],
)
def test_other_settings_have_no_row(tmp_path, arguments, reason):
    put_run(tmp_path, VIDEOMME, **arguments)
    ((what, why),) = reasons(tmp_path)
    assert what == "VideoMME"
    assert why.startswith(f"the table has no row of {reason}")


@pytest.mark.parametrize(
    "pretrained",
    [
        "lmms-lab/llava-onevision-qwen2-7b-ov",
        "/models/llava-onevision-qwen2-7b-ov-hf/",
        "cache/models--llava-hf--llava-onevision-qwen2-7b-ov-hf/snapshots/0123",
    ],
)
def test_checkpoints_are_known_by_any_path(tmp_path, pretrained):
    put_run(tmp_path, VIDEOMME, pretrained=pretrained)
    assert len(compared(tmp_path).compared) == 1


@pytest.mark.parametrize(
    ("results", "what", "reason"),
    [
        ({"egoschema_subset": {"score,none": 0.6, "samples": 500}}, "egoschema_subset", "no published column"),
        ({"egoschema": {"submission,none": None, "samples": 5031}}, "egoschema", "submission is not a number"),
        ({"egoschema": {"submission,none": math.nan, "samples": 9}}, "egoschema", "submission is not a number"),
        ({MVBENCH[0]: SCORES[MVBENCH[0]], "mvbench": {" ": " "}}, "MVBench", "1 of its 20 tasks were measured"),
    ],
)
def test_other_results_are_listed(tmp_path, results, what, reason):
    put_run(tmp_path, results)
    ((told, why),) = reasons(tmp_path)
    assert told == what
    assert reason in why


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"config": {"limit": 8.0}}, "not all questions were asked (limit 8.0)"),
        ({"config": {"offset": 100}}, "not all questions were asked (offset 100)"),
        ({"config": {"model": "llava_onevision"}}, "measured by the model 'llava_onevision' of lmms-eval"),
        ({"described": {"method": None}}, "no vidfold.json of its settings is in its folder or above"),
        ({"described": {"retention": 0.25}}, "no vidfold.json of its settings is in its folder or above"),
        ({"config": {"model_args": "method=from-the-future"}}, "its settings are not known: unknown method"),
    ],
)
def test_results_without_known_settings_are_listed(tmp_path, run, reason):
    put_run(tmp_path, VIDEOMME, **run)
    ((what, why),) = reasons(tmp_path)
    assert what == "videomme"
    assert why.startswith(reason)


def test_a_limit_of_minus_one_is_none(tmp_path):
    put_run(tmp_path, VIDEOMME, config={"limit": -1, "offset": 0})
    assert len(compared(tmp_path).compared) == 1


def test_overwritten_settings_are_not_used_for_an_earlier_run(tmp_path):
    put_run(tmp_path, VIDEOMME, date="20260101_120000", method="none")
    put_run(tmp_path, VIDEOMME, date="20260102_120000", retention=0.25)
    comparison = compared(tmp_path)
    assert [pair.number.retention for pair in comparison.compared] == [0.25]
    assert [each.files[0][-28:-13] for each in comparison.unmatched] == ["20260101_120000"]


def test_the_nearest_settings_count(tmp_path):
    path = put_run(tmp_path, VIDEOMME)
    told = json.loads((tmp_path / "vidfold.json").read_text())
    (path.parent / "vidfold.json").write_text(json.dumps(told | {"config_hash": "nearest"}))
    (pair,) = compared(tmp_path).compared
    assert pair.measured.run.config_hash == "nearest"


def test_settings_above_the_folder_of_results_are_not_read(tmp_path):
    path = put_run(tmp_path, VIDEOMME)
    ((_, why),) = reasons(path.parent)
    assert why == "no vidfold.json of its settings is in its folder or above"


def test_settings_of_a_version_with_other_fields(tmp_path):
    put_run(tmp_path, VIDEOMME, described={"method": {"name": "aot-paper", "retention": 0.1, "gone": 3}})
    assert len(compared(tmp_path).compared) == 1


def test_parts_of_a_row_may_have_different_settings(tmp_path):
    for anchors, tasks, name in (
        (126, [*MVBENCH, "egoschema"], "A-B"),
        (108, ["videomme", "longvideobench_val_v"], "C-D"),
    ):
        put_run(
            tmp_path / name,
            {task: SCORES[task] for task in tasks},
            method="aot-reference",
            nominal=0.1,
            anchors=anchors,
            row={"row": "aot-reference@0.10", "published": "AOT"},
        )
    comparison = compared(tmp_path)
    assert len({pair.measured.run for pair in comparison.compared}) == 2
    assert differences(comparison).keys() == {*BENCHMARKS, AVERAGE}


def test_unrelated_configurations_are_separate(tmp_path):
    put_run(tmp_path / "a", VIDEOMME, method="aot-paper", keep=0.3)
    put_run(tmp_path / "b", {"egoschema": SCORES["egoschema"]}, method="aot-paper", keep=0.4)
    pairs = compared(tmp_path).compared
    assert {pair.number.benchmark for pair in pairs} == {"VideoMME", "EgoSchema"}
    assert len({pair.measured.run for pair in pairs}) == 2


def test_row_uses_its_published_name(tmp_path):
    row = {"row": "no-local@0.10", "published": "AOT w/o local anchors"}
    put_run(tmp_path, method="aot-paper", global_ratio=1.0, row=row)
    assert differences(compared(tmp_path, "3"))["EgoSchema"] == pytest.approx(59.6 - 60.1)
    assert {why for _, why in reasons(tmp_path)} == {
        "the table has no row of AOT w/o local anchors (no-local@0.10) at 10 %, 32 frames, llava-hf/"
        "llava-onevision-qwen2-7b-ov-hf"
    }


def test_parts_of_an_average_are_matched(tmp_path):
    put_run(tmp_path, retention=0.1)
    comparison = compared(tmp_path, "3")
    assert differences(comparison).keys() == {AVERAGE}
    assert not comparison.unmatched


def test_benchmark_without_column_is_listed(tmp_path):
    put_run(tmp_path, retention=0.1)
    assert [(each.benchmark, each.reason) for each in compared(tmp_path, "logs").unmatched] == [
        ("EgoSchema", "its row has no such column")
    ]


def test_tidy_rows(tmp_path):
    put_run(tmp_path, SCORES | {"mlvu_dev": {"mlvu_percetion_score,none": 60.0, "samples": 9}})
    rows = comparison_rows(compare(load("1"), read_results(tmp_path)))
    assert all(tuple(row) == COLUMNS for row in rows)
    by_status = {
        status: [row for row in rows if row["status"] == status] for status in ("compared", "missing", "unmatched")
    }
    assert len(by_status["compared"]) == 5
    assert len(by_status["compared"]) + len(by_status["missing"]) == len(load("1").numbers)
    first = by_status["compared"][0]
    assert first["difference"] == pytest.approx(first["measured"] - float(first["value"]))
    (left,) = by_status["unmatched"]
    assert (left["benchmark"], left["value"]) == ("mlvu_dev", None)


def test_text(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    put_run(tmp_path / "a", VIDEOMME, described={"errors": 3}, method="aot-paper", keep=0.4)
    put_run(tmp_path / "b", VIDEOMME, retention=0.13)
    text = shown(tmp_path)
    lines = [line.split() for line in text.splitlines()]
    measured = ["AOT", "VideoMME", "56.1", "56.6", "±", "1.2", "+0.5", "±", "1.2", "10", "%"]
    assert any(line[2:13] == measured for line in lines)
    assert "AOT (MVBench), AOT (EgoSchema)" in text
    assert "aot-paper(retention=0.1, keep=0.4)" in text
    assert "3 samples could not be read" in text
    assert "the table has no row of aot-paper at 13 %" in text
    assert ["1", "%", "SimpleCluster,", "EarlyTom,", "VisionZip"] in lines


def test_table_without_measurements(tmp_path):
    put_run(tmp_path)
    assert "No measurement belongs to a row" in shown(tmp_path, "2")


def test_tables_without_benchmarks_raise(tmp_path):
    put_run(tmp_path)
    with pytest.raises(ValueError, match="table '4' has no benchmark that can be read from results: MVBench"):
        compared(tmp_path, "4")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x_results.json", "{", "is not JSON"),
        ("x_results.json", "[]", "holds no JSON object"),
        ("x_results.json", '{"results": 3}', "has no object 'results'"),
        ("row.json", "3", "holds no JSON object"),
        ("vidfold.json", '{"name": "aot"}', "has no object 'method'"),
    ],
)
def test_bad_files_raise(tmp_path, name, text, told):
    put_run(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
        read_results(tmp_path)


def test_folder_without_results_raises(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \*_results\.json; give a folder that lmms-eval wrote to"):
        read_results(tmp_path / "nowhere")

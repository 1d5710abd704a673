"""Rows run one after the other, by a stand-in for lmms-eval that writes what it would."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from vidfold import extras
from vidfold.evaluation.plan import jobs, parse, read
from vidfold.evaluation.reproducing import reproduce
from vidfold.evaluation.settings import Settings, split

STAND_IN = """
import json, sys
from pathlib import Path
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("asked for", options["--tasks"])
if "broken" in options["--tasks"]:
    print("\\x1b[31mError during evaluation: Tasks not found: broken. Please set `--verbosity=DEBUG` to see\\x1b[0m")
    sys.exit(0)
if "killed" in options["--tasks"]:
    sys.exit(3)
if "unread" in options["--tasks"]:
    sys.exit("vidfold: sample 3: clip.mp4 does not exist")
folder = Path(options["--output_path"])
hashes = json.loads((Path(__file__).parent / "hashes.json").read_text())
tokens = {"before": 100, "after": 10, "kept": {"mean": 0.1}}
told = {"config_hash": hashes[options["--model_args"]], "tokens": tokens, "errors": 0}
(folder / "vidfold.json").write_text(json.dumps(told))
(folder / "tiny").mkdir(exist_ok=True)
number = len(list((folder / "tiny").iterdir()))
metrics = {"alias": "task", "accuracy,none": 0.625, "accuracy_stderr,none": 0.1}
results = {"results": {"group": {" ": " "}} | {task: metrics for task in options["--tasks"].split(",")}}
(folder / "tiny" / f"{number}_results.json").write_text(json.dumps(results))
"""

RECIPE = """
title: a table
model_args: {pretrained: tiny, frames: 8}
benchmarks: {One: task_one, Two: task_two}
rows:
  - {name: none, method: none}
  - {name: aot, method: aot, at: [0.1]}
  - {name: reference, method: aot-reference, note: keep is a guess, at: {0.1: [{benchmarks: [Two], anchors: 33}]}}
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    package = tmp_path / "site" / "lmms_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.delitem(sys.modules, "lmms_eval", raising=False)  # the real one, if it is there


def plan(tmp_path, rows=(), **changed):
    found = parse("table", RECIPE)
    return jobs(found, found.select(rows), tmp_path / "out", **{"changes": {}} | changed)


def ran(planned):
    """Lines of a run."""
    # The stand-in would have to import vidfold to know them.
    arguments = [job.command[4] for job in planned]
    hashes = {text: Settings.of(**split(text)).hash for text in arguments}
    (planned[0].folder.parents[2] / "site" / "lmms_eval" / "hashes.json").write_text(json.dumps(hashes))
    lines = []
    reproduce(planned, tell=lines.append)
    return lines


def test_commands(tmp_path):
    planned = plan(tmp_path, changes={"pretrained": "other", "on_error": "skip"}, batch_size=2, limit=3)
    assert planned[1].command == [
        "lmms-eval",
        "--model",
        "vidfold",
        "--model_args",
        "pretrained=other,frames=8,method=aot,retention=0.1,on_error=skip",
        "--tasks",
        "task_one,task_two",
        "--output_path",
        str(tmp_path / "out" / "table" / "aot@0.10"),
        "--log_samples",
        "--batch_size",
        "2",
        "--limit",
        "3",
    ]
    command = plan(tmp_path, processes=8, limit=None, include_path=Path("tasks"))[0].command
    assert command[:6] == ["accelerate", "launch", "--num_processes", "8", "-m", "lmms_eval"]
    assert command[-2:] == ["--include_path", "tasks"]
    assert "--limit" not in command


def test_commands_of_a_bench(tmp_path):
    found = read("table4")
    (job,) = jobs(found, found.select(["video-aot-paper@0.10"]), tmp_path, changes={"dtype": "float16", "keep": "0.5"})
    assert " ".join(job.command) == (
        "vidfold bench speed --model lmms-lab/LLaVA-Video-7B-Qwen2 --dtype float16 --frames 64 --method aot-paper "
        f"--retention 0.1 --set keep=0.5 --output {tmp_path / 'table4' / 'video-aot-paper@0.10'}"
    )


def test_tasks_of_a_row(tmp_path):
    def asked(**changed):
        return [job.command[6] for job in plan(tmp_path, **changed)]

    assert asked() == ["task_one,task_two"] * 2 + ["task_two"]
    assert asked(tasks={"One": "mine", "another": "another"}) == ["mine,another"] * 2 + ["another"]
    assert asked(tasks={"One": "mine"}) == ["mine"] * 2  # the third has no task


def test_rows_are_run_once(tmp_path):
    lines = ran(plan(tmp_path))
    assert [line.split(": ")[0] for line in lines] == [
        *["1/3 none"] * 2,
        *["2/3 aot@0.10"] * 2,
        *["3/3 reference@0.10-Two"] * 3,
    ]
    assert lines[0].startswith("1/3 none: lmms-eval --model vidfold")
    assert lines[1].endswith(f"s, results in {tmp_path / 'out' / 'table' / 'none'}, tokens 100 -> 10 (10.0 %)")
    assert lines[5] == "3/3 reference@0.10-Two: keep is a guess"
    again = ran(plan(tmp_path))
    assert len(again) == 3
    assert all("done before, results in " in line for line in again)
    assert len(list(tmp_path.glob("out/table/*/tiny/*_results.json"))) == 3


@pytest.mark.parametrize("change", [{"limit": 3}, {"changes": {"frames": "4"}}, {"tasks": {"One": "task_one"}}])
def test_other_configuration_runs_again(tmp_path, change):
    ran(plan(tmp_path, ["none"]))
    assert "done before" not in " ".join(ran(plan(tmp_path, ["none"], **change)))
    assert "done before" in ran(plan(tmp_path, ["none"], **change))[0]


def test_batch_size_does_not_change_the_configuration(tmp_path):
    ran(plan(tmp_path, ["none"]))
    assert "done before" in ran(plan(tmp_path, ["none"], batch_size=4))[0]


@pytest.mark.parametrize(
    ("task", "quoted"),
    [
        ("broken", "row none: Tasks not found: broken; its output is in"),
        ("killed", "row none: ended with status 3 and no results; its output"),
        ("unread", "row none: sample 3: clip.mp4 does not exist; its output"),
    ],
)
def test_a_row_without_results_stops_the_run(tmp_path, task, quoted):
    with pytest.raises(ValueError, match=quoted):
        ran(plan(tmp_path, tasks={"One": task}))
    folder = tmp_path / "out" / "table"
    assert [path.name for path in folder.iterdir()] == ["none"]
    assert not (folder / "none" / "row.json").exists()
    assert f"asked for {task}" in (folder / "none" / "log.txt").read_text()


def test_old_results_are_not_reported_as_new(tmp_path):
    ran(plan(tmp_path, ["none"]))
    with pytest.raises(ValueError, match="Tasks not found"):
        ran(plan(tmp_path, ["none"], tasks={"One": "broken"}))
    assert "done before" in ran(plan(tmp_path, ["none"]))[0]


def test_bad_changes_raise_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"row aot@0\.10: retention must be"):
        plan(tmp_path, changes={"retention": "ten"}, rows=["aot"])


def test_record_of_a_row(tmp_path):
    for job in plan(tmp_path, ["aot", "reference"]):
        ran([job])
        written = json.loads((job.folder / "row.json").read_text())
        assert written["row"] == job.row.at == f"{job.row.name}@0.10"
        assert written["command"] == job.command


@pytest.mark.parametrize(("text", "told"), [("{", "is not JSON"), ("[]", "holds no JSON object")])
def test_a_damaged_record_of_a_row_is_named(tmp_path, text, told):
    (job,) = plan(tmp_path, ["aot"])
    path = job.folder / "row.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"row\.json' {told}"):
        reproduce([job], tell=print)


def test_without_lmms_eval(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(extras.MissingExtra, match=r"pip install .*'lmms-eval<"):
        reproduce(plan(tmp_path), tell=print)

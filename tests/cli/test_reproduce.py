"""``vidfold reproduce``."""

import shlex

import pytest

from tests.cli.running import refused
from vidfold.cli import main


def test_dry_run_prints_one_command_per_row(capsys):
    arguments = ["reproduce", "table1", "--dry-run", "--rows", "none", "aot", "--limit", "8", "--output", "here"]
    assert main([*arguments, "--set", "pretrained=tiny", "on_error=skip", "--set", "frames=8"]) == 0
    commands = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    assert len(commands) == 6
    for command in commands:
        assert command[:3] == ["lmms-eval", "--model", "vidfold"]
        assert "mvbench,egoschema,longvideobench_val_v,videomme" in command
        assert command[-2:] == ["--limit", "8"]
    assert "pretrained=tiny,frames=8,method=none,on_error=skip" in commands[0]
    assert "pretrained=tiny,frames=8,method=aot,retention=0.1,on_error=skip" in commands[4]
    assert "here/table1/aot@0.10" in commands[4]


def test_notes_are_printed(capsys):
    assert main(["reproduce", "table1", "--dry-run", "--rows", "aot-reference"]) == 0
    lines = capsys.readouterr().out.splitlines()
    note = "keep is a guess, it is published at 10 % only"
    assert [line.partition("# ")[2] for line in lines] == [note] * 3 + [""] * 2
    assert "anchors=126,keep=0.3 --tasks mvbench,egoschema " in lines[3]
    assert "anchors=108,keep=0.1 --tasks longvideobench_val_v,videomme " in lines[4]


def test_tasks_replace_benchmarks(capsys):
    arguments = [
        "reproduce",
        "table1",
        "--dry-run",
        "--rows",
        "aot@0.10",
        "--tasks",
        "MVBench=mine",
        "VideoMME",
        "more",
    ]
    assert main(arguments) == 0
    assert "--tasks mine,videomme,more " in capsys.readouterr().out


def test_list_names_omitted_rows(capsys):
    assert main(["reproduce", "table3", "--list"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "no-local@0.10 AOT w/o local anchors" in out
    assert "AOT with random anchors no field of aot-paper draws anchors at random" in out


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        (["table9"], "no recipe for 'table9'; there are: table1, table2, table3, table4"),
        (["table1", "--rows", "aott"], "table1 has no row 'aott'; did you mean 'aot'?"),
        (["table1", "--tasks", "MVBenc=mine"], "table1 has no benchmark 'MVBenc'; it has: MVBench"),
        (["table1", "--tasks", "MVBench="], "--tasks takes TASK or BENCHMARK=TASK, got 'MVBench='"),
        (["table1", "--set", "retention"], "--set takes NAME=VALUE, such as pretrained=tiny, got 'retention'"),
        (["table1", "--rows", "aot", "--set", "retention=ten"], "row aot@0.25: retention must be"),
        (["table1", "--rows", "none", "--set", "keep=0.5"], "row none: method=none folds nothing"),
        (["table1", "--limit", "0"], "limit must be"),
        (["table1", "--processes", "-1"], "processes must be"),
        (["table1", "--include-path", "/nowhere"], "--include-path must be a folder of tasks, got '/nowhere'"),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, quoted):
    assert quoted in refused(capsys, "reproduce", *arguments, "--dry-run")


def test_missing_lmms_eval_is_named(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "lmms_eval is not installed: pip install" in refused(capsys, "reproduce", "table1", "--rows", "none")


def test_a_table_by_its_number(capsys):
    assert main(["reproduce", "1", "--dry-run"]) == 0
    commands = capsys.readouterr().out
    assert main(["reproduce", "table1", "--dry-run"]) == 0
    assert commands == capsys.readouterr().out

"""``vidfold bench quality``."""

import pytest

from vidfold.app.writing import read_csv, write_csv
from vidfold.cli import main
from vidfold.tiny import render, seeds
from vidfold.video import write


def run(folder, *more: str) -> int:
    arguments = ("--methods", "random", "--retention", "0.25", "0.1", "--clips", "2", "--output", str(folder))
    return main(["bench", "quality", *arguments, *more])


def test_table_and_files_and_a_second_run_that_measures_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert run(tmp_path) == 0
    captured = capsys.readouterr()
    assert "tiny, scenes 700000-700001 (final), 25 % of the tokens requested" in captured.out
    assert "all tokens  288     100.0 %" in captured.out
    assert "no setting of any method was chosen on them" in captured.out
    assert "measuring" not in captured.err  # no terminal
    names = {"quality.csv", "quality.md", "clips"}
    assert {path.name for path in tmp_path.iterdir()} == names | {
        f"quality-{name}.{form}" for name in ("retention", "time") for form in ("svg", "png")
    }
    rows = read_csv(tmp_path / "quality.csv")
    assert run(tmp_path) == 0
    assert capsys.readouterr().out == captured.out
    assert read_csv(tmp_path / "quality.csv") == rows


@pytest.fixture
def one_format(monkeypatch):
    """Pictures take most of the time of a short run."""
    monkeypatch.setattr("vidfold.bench.plots.FORMATS", ("svg",))


@pytest.mark.usefixtures("one_format")
def test_stale_rows_are_named(capsys, tmp_path):
    assert run(tmp_path, "--frames", "2", "--clips", "1") == 0
    columns, rows = read_csv(tmp_path / "quality.csv")
    write_csv(tmp_path / "quality.csv", columns, [*rows[:2], rows[2] | {"method_code": "other", "top1": "0"}])
    capsys.readouterr()
    assert run(tmp_path, "--frames", "2", "--clips", "1") == 0
    assert capsys.readouterr().err.startswith("stale, measured again: random at 10 % (the code of the method has")
    assert read_csv(tmp_path / "quality.csv")[1][2]["method_code"] == rows[2]["method_code"]


@pytest.mark.usefixtures("one_format")
def test_own_videos(capsys, tmp_path):
    clip = tmp_path / "clip.mp4"
    write(clip, render(seeds("search", 1)[0]).frames, fps=2, scale=2, hold=2)
    assert run(tmp_path / "out", "--videos", str(clip), "--question", "what is the first scene?", "--seed", "1") == 0
    assert "videos (1 of 8 frames, " in capsys.readouterr().out
    rows = read_csv(tmp_path / "out" / "quality.csv")[1]
    assert {(row["accuracy_mean"], row["seed"]) for row in rows} == {("", "1")}


@pytest.mark.usefixtures("one_format")
def test_other_worlds_splits_and_lengths(capsys, tmp_path):
    assert run(tmp_path, "--world", "second", "--split", "confirm", "--frames", "4", "--clips", "1") == 0
    assert "tiny, scenes 0-0 (confirm, second world, 4 frames), 25 %" in capsys.readouterr().out
    assert {row["tokens_before"] for row in read_csv(tmp_path / "quality.csv")[1]} == {"144"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--methods", "none"), "unknown method 'none'; there are: aot"),
        (("--retention", "2"), "retention must be in (0, 1], got 2.0"),
        (("--clips", "0"), "clips must be a whole number of at least 1, got 0"),
        (("--videos", "nowhere.mp4"), "'nowhere.mp4' is not a file"),
        (("--frames", "0"), "frames must be a whole number of at least 1, got 0"),
        (("--seed", "-1"), "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_input_gets_one_line(capsys, tmp_path, given, message):
    assert main(["bench", "quality", *given, "--output", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vidfold: {message}")
    assert list(tmp_path.iterdir()) == []

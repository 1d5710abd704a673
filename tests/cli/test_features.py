"""``vidfold bench features`` on a small random tower."""

import csv

import pytest

from tests.bench.real.conftest import clip_folder, videos  # noqa: F401
from tests.cli.running import refused
from vidfold.bench.real.tower import Tower
from vidfold.cli import main

METHODS = ("aot", "random")


@pytest.fixture
def asked(clip_folder, videos, tmp_path):  # noqa: F811
    return [
        *("bench", "features", "--videos", str(videos), "--tower", clip_folder, "--frames", "4"),
        *("--methods", *METHODS, "--retention", "0.25", "0.1", "--output", str(tmp_path)),
    ]


def test_the_table_is_printed_and_a_run_continues(asked, tmp_path, capsys, monkeypatch):
    assert main(asked) == 0
    first = capsys.readouterr()
    assert "25 % of the tokens" in first.out
    assert "1 of 5 files skipped: notes.txt" in first.out
    assert "skipped notes.txt: " in first.err
    with (tmp_path / "features.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"identity", *METHODS}
    assert {row["gap"] for row in rows if row["method"] == "aot"} == {"0"}
    assert {row["clips"] for row in rows if row["measure"] == "coverage"} == {"4"}
    assert {row["clips"] for row in rows if row["measure"] == "joined_shot_worst"} == {"1"}

    monkeypatch.setattr("vidfold.bench.real.study.Fold.of", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(Tower, "__call__", lambda *_: pytest.fail("encoded again"))
    assert main(asked) == 0
    assert capsys.readouterr().out == first.out


def test_short_videos_are_told(asked, capsys):
    assert main([*asked, "--frames", "8", "--methods", "random"]) == 0
    assert "1 videos have fewer than 8 frames: 3.mp4" in capsys.readouterr().out


def test_errors_are_over_sources(asked, tmp_path, capsys):
    listed = tmp_path / "listed.csv"
    listed.write_text("file,cuts,source\n0.mp4,,one\n1.mp4,,one\n2.mp4,,other\n")
    assert main([*asked, "--shots", str(listed)]) == 0
    with (tmp_path / "features.csv").open() as file:
        counts = {(row["clips"], row["sources"]) for row in csv.DictReader(file) if row["measure"] == "coverage"}
    assert counts == {("4", "3")}
    listed.write_text("file,cuts\n0.mp4,\n")
    assert main([*asked, "--shots", str(listed)]) == 0
    with (tmp_path / "features.csv").open() as file:
        assert {row["sources"] for row in csv.DictReader(file) if row["measure"] == "coverage"} == {"4"}


def test_bad_input(asked, tmp_path, capsys):
    def told(*changes):
        return refused(capsys, *asked, *changes)

    assert told("--videos", str(tmp_path / "none")).startswith("--videos must be a folder with video files, got")
    assert "cannot be loaded as a vision tower" in told("--tower", str(tmp_path))
    assert told("--clips", "0") == "clips must be a whole number of at least 1, got 0"
    assert told("--methods", "fastv").startswith("fastv works inside the language model")
    assert told("--texts", "x.npy").startswith("--texts are vectors of names: give --names FILE too")
    (tmp_path / "cuts.csv").write_text("file,cuts\na.mp4,soon\n")
    assert "needs columns 'file' and 'cuts'" in told("--shots", str(tmp_path / "cuts.csv"))
    assert "none.csv" in told("--shots", str(tmp_path / "none.csv"))

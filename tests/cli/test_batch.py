"""``vidfold batch``: bad input; whole runs are in tests/batch."""

import json
import sys

import pytest

from tests.cli.running import refused
from vidfold.batch.ledger import Ledger
from vidfold.batch.rows import failed, row
from vidfold.batch.settings import Settings
from vidfold.batch.tasks import Task
from vidfold.cli import main


def test_bad_input(capsys, tmp_path, clip):
    out = ("--output", str(tmp_path / "out"))
    assert refused(capsys, "batch", *out).startswith("give videos")
    assert refused(capsys, "batch", clip, "--question", "what?") == "give --output, a folder to write rows to"
    assert refused(capsys, "batch", clip, "--question", "what?", "--output", "").startswith("give --output")
    assert "nothing is asked about" in refused(capsys, "batch", clip, *out)
    assert "question must not be empty" in refused(capsys, "batch", clip, "--question", " ", *out)
    assert "does not exist" in refused(capsys, "batch", "none.mp4", "--question", "what?", *out)
    assert "holds no video" in refused(capsys, "batch", str(tmp_path), "--question", "what?", *out)
    (tmp_path / "empty.txt").write_text("\n")
    assert "has no question" in refused(capsys, "batch", clip, "--questions", str(tmp_path / "empty.txt"), *out)
    asked = ("batch", clip, "--question", "what?", *out)
    assert "workers must be a whole number of at least 1, got 0" in refused(capsys, *asked, "--workers", "0")
    assert "timeout must be positive" in refused(capsys, *asked, "--timeout", "0")
    assert "unknown way to choose frames 'best'" in refused(capsys, *asked, "--choose", "best")
    assert "is of a Ray cluster: give engine='ray'" in refused(capsys, *asked, "--address", "auto")
    assert "is no output of 'vidfold batch'" in refused(capsys, "batch", "--status", str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_none(capsys, tmp_path, clip):
    pytest.importorskip("pyarrow")
    (tmp_path / "file").write_text("")
    asked = ("batch", clip, "--question", "what?", "--output")
    assert "cannot write to" in refused(capsys, *asked, str(tmp_path / "file"))
    assert "must be a folder of this machine" in refused(capsys, *asked, "s3://bucket/out")


@pytest.fixture
def output(tmp_path):
    """An output of two rows, that is all that is wanted of a video."""
    pytest.importorskip("pyarrow")
    settings, task = Settings(), Task("1", "/videos/1.mp4", ("what?", "why?"))
    with Ledger(tmp_path, settings) as ledger:
        ledger.begin(2)
        ledger.add([row(task, "what?", settings.hash, "weights", answer="a cat", times=[0.0], frames=1)])
        ledger.add(failed(Task("1", "/videos/1.mp4", ("why?",)), settings.hash, "", "it is damaged"))
    return str(tmp_path)


def test_status(capsys, output):
    assert main(["batch", "--status", output]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 wanted, 1 with an error" in shown
    assert "1 x it is damaged" in shown
    assert main(["batch", "--status", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == 1


def test_rows_that_are_all_there(capsys, output, tmp_path):
    table = tmp_path / "list.jsonl"
    table.write_text('{"path": "/videos/1.mp4", "id": "1"}\n')
    asked = ["batch", str(table), "--question", "what?", "--question", "why?", "--output", output]
    assert main([*asked, "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["answer"], second["error"]) == ("a cat", "it is damaged")
    assert main(asked) == 0
    assert "no row: all were there" in capsys.readouterr().out
    assert "method.retention is 0.1 there and 0.2 here" in refused(capsys, *asked, "--retention", "0.2")


def test_without_ray(capsys, tmp_path, clip, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setitem(sys.modules, "ray", None)
    asked = ("batch", clip, "--question", "what?", "--output", str(tmp_path / "out"), "--engine", "ray")
    assert refused(capsys, *asked).startswith("ray is not installed: pip install ")


def test_a_cluster_that_does_not_answer(capsys, tmp_path, clip):
    pytest.importorskip("pyarrow")
    pytest.importorskip("ray")
    asked = ("batch", clip, "--question", "what?", "--output", str(tmp_path / "out"), "--engine", "ray")
    assert "no Ray cluster answers at '127.0.0.1:9'" in refused(capsys, *asked, "--address", "127.0.0.1:9")

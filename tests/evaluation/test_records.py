"""Samples on record."""

import json

import pytest

from vidfold.evaluation.records import Records, means


def record(key, kept=29, error=None, task="t"):
    tokens = {"before": 290, "after": kept, "inside": kept / 290}
    done = {"answer": "red", "tokens": tokens, "seconds": {"encode": 0.5, "fold": 0.25}}
    return {"key": key, "task": task, "error": error} | (done if error is None else {})


def test_samples_are_read_back(tmp_path):
    Records(tmp_path, "one").put([record("a"), record("b")])
    records = Records(tmp_path, "one")
    assert len(list(records)) == 2
    assert records.get("a")["answer"] == "red"
    assert records.get("c") is None
    assert Records(tmp_path, "other").get("a") is None
    assert len((tmp_path / "samples.rank0.jsonl").read_text().splitlines()) == 2


def test_other_processes_are_read_too(tmp_path):
    Records(tmp_path, "one", rank=0).put([record("a")])
    second = Records(tmp_path, "one", rank=1)
    second.put([record("b")])
    assert {each["key"] for each in second} == {"a", "b"}
    assert {each["key"] for each in Records(tmp_path, "one")} == {"a", "b"}


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_incomplete_line_is_skipped(tmp_path, cut):
    Records(tmp_path, "one").put([record("a"), record("b")])
    path = tmp_path / "samples.rank0.jsonl"
    text = path.read_bytes()
    line = text.splitlines(keepends=True)[1]
    path.write_bytes(text[: -len(line)] + line[:cut])
    records = Records(tmp_path, "one")
    assert records.get("a") is not None
    records.put([record("c")])
    again = Records(tmp_path, "one")
    assert again.get("a") is not None
    assert again.get("c") is not None
    assert (again.get("b") is not None) == (cut == -1)  # all but its end is all of it


@pytest.mark.parametrize("line", [b"7", b"[]", b'{"key": "b"}', b"\xff"])
def test_lines_of_something_else_are_skipped(tmp_path, line):
    Records(tmp_path, "one").put([record("a")])
    path = tmp_path / "samples.rank0.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert [each["key"] for each in Records(tmp_path, "one")] == ["a"]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r"])
def test_lines_end_at_newlines_only(tmp_path, sign):
    Records(tmp_path, "one").put([record("a") | {"answer": f"first{sign}second"}, record("b")])
    assert [each["key"] for each in Records(tmp_path, "one")] == ["a", "b"]


def test_failed_requests_are_repeated(tmp_path):
    records = Records(tmp_path, "one")
    records.put([record("a", error="is damaged")])
    assert records.get("a") is None
    records.put([record("a")])
    assert [each["error"] for each in Records(tmp_path, "one")] == [None]


def test_without_a_folder_they_are_kept_in_memory():
    records = Records(None, "one")
    records.put([record("a")])
    assert records.get("a") is not None


def test_means(tmp_path):
    found = means([record("a", 29), record("b", 87, task="u"), record("c", error="is damaged")])
    assert found["tokens"]["before"] == 290
    assert found["tokens"]["after"] == 58
    assert found["tokens"]["kept"] == {"mean": pytest.approx(0.2), "std": pytest.approx(0.1), "n": 2}
    assert found["seconds"] == {"encode": 0.5, "fold": 0.25}
    assert (found["samples"], found["errors"]) == (2, 1)
    assert found["tasks"]["u"]["tokens"]["kept"]["mean"] == pytest.approx(0.3)
    assert json.loads(json.dumps(means([])))["tokens"]["kept"]["n"] == 0

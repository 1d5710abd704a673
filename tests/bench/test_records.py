"""What a run has saved: rows, and values clip by clip."""

import numpy as np
import pytest

from vidfold.bench.records import Outcomes, Records
from vidfold.bench.writing import read_csv

COLUMNS = ("name", "asked", "value")
ROW = {"name": "a", "asked": "0.1", "value": "1"}


def table(tmp_path):
    return Records(tmp_path / "folder" / "table.csv", COLUMNS, ("name", "asked"))


def test_rows_are_read_back_and_replaced(tmp_path):
    table(tmp_path).put([ROW])
    again = table(tmp_path)
    assert again.get(ROW) == ROW
    assert again.get(ROW | {"asked": "0.2"}) is None
    again.put([ROW | {"value": "2"}, ROW | {"asked": "0.2"}])
    assert read_csv(again.path)[1] == [ROW | {"value": "2"}, ROW | {"asked": "0.2"}]


def test_other_columns_raise(tmp_path):
    table(tmp_path).put([ROW])
    with pytest.raises(ValueError, match="has other columns than this version writes"):
        Records(tmp_path / "folder" / "table.csv", (*COLUMNS, "new"), ("name", "asked"))
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames: 'more'"):
        table(tmp_path).put([ROW | {"asked": "0.2", "more": "1"}])
    assert table(tmp_path).get(ROW) == ROW


def test_clips_are_there_at_once_and_after_packing(tmp_path):
    path = tmp_path / "clips" / "a.npz"
    Outcomes(path).put("one", {"aot 0.1 x": {"top1": 0.5, "fold_ms": 2.0}, "fastv 0.1 x": {"top1": 1.0}})
    Outcomes(path).put("two", {"aot 0.1 x": {"top1": 0.25, "fold_ms": 3.0}})
    for packed in (False, True):
        outcomes = Outcomes(path)
        assert outcomes.has("aot 0.1 x", ["one", "two"])
        assert not outcomes.has("fastv 0.1 x", ["one", "two"])
        assert not outcomes.has("aot 0.2 x", ["one"])
        assert {name: each.tolist() for name, each in outcomes.arrays("aot 0.1 x", ["two", "one"]).items()} == {
            "top1": [0.25, 0.5],
            "fold_ms": [3.0, 2.0],
        }
        outcomes.pack()
        assert [each.name for each in path.parent.iterdir()] == ["a.npz"], packed
    with np.load(path) as file:
        assert file["labels"].tolist() == ["aot 0.1 x", "fastv 0.1 x"]
        assert file["clips"].tolist() == ["one", "two"]
        np.testing.assert_array_equal(file["fold_ms"], [[2.0, 3.0], [np.nan, np.nan]])


def test_line_that_an_interruption_cut_is_ignored(tmp_path):
    outcomes = Outcomes(tmp_path / "a.npz")
    outcomes.put("one", {"aot": {"top1": 0.5}})
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"label": "aot", "clip": "tw')
    again = Outcomes(tmp_path / "a.npz")
    assert not again.has("aot", ["one", "two"])
    again.put("two", {"aot": {"top1": 0.25}})
    assert Outcomes(tmp_path / "a.npz").has("aot", ["one", "two"])


def test_results_of_other_code_are_dropped(tmp_path):
    outcomes = Outcomes(tmp_path / "a.npz")
    outcomes.put("one", {label: {"top1": 1.0} for label in ("aot 0.1 old", "aot 0.1 new", "aot-paper 0.1 old")})
    outcomes.drop_others({"aot 0.1": "aot 0.1 new"})
    assert [outcomes.has(f"{each} old", ["one"]) for each in ("aot 0.1", "aot-paper 0.1")] == [False, True]


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04half"])
def test_archive_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz' is not an archive of measured clips \(.*move it away"):
        Outcomes(tmp_path / "a.npz")

"""Files that are complete or absent."""

import errno

import numpy as np
import pytest

from vidfold import replacing as module
from vidfold.app.writing import read_csv, write_csv, write_text
from vidfold.replacing import replacing

ROWS = [{"name": "a", "value": "1"}, {"name": 'b, "c"', "value": "x\ny"}]


def test_rows_are_read_back(tmp_path):
    path = tmp_path / "new" / "table.csv"
    write_csv(path, ("name", "value"), ROWS)
    assert read_csv(path) == (("name", "value"), ROWS)
    path.write_text("")
    assert read_csv(path) == ((), [])
    assert [each.name for each in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            OSError,
            r"cannot write '.*table\.csv': No space left on device",
        ),
    ],
)
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, failure, raised, message):
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def fail(_):
        raise failure

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(raised, match=message):
        write_text(path, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("table.csv", "old")]


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^cannot write '.*file/table\.csv': "):
        write_text(tmp_path / "file" / "table.csv", "x")
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(OSError, match=r"cannot write '.*table\.csv': "):
        write_text(tmp_path / "table.csv", "x")


def test_other_columns_raise(tmp_path):
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames: 'value'"):
        write_csv(tmp_path / "table.csv", ("name",), ROWS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        (f"name,value\na,{'x' * 200_000}\n".encode(), r"is not a readable CSV table \(.*field larger than field limit"),
        (b"na\xffme\n", r"is not a readable CSV table \(.*utf-8"),
        (b"name,value\na\n", "has rows that are longer or shorter than its head"),
        (b"name,value\na,1,2\n", "has rows that are longer or shorter than its head"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path, content, quoted):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"table\.csv' {quoted}"):
        read_csv(tmp_path / "table.csv")


def test_arrays(tmp_path):
    with replacing(tmp_path / "a.npz") as file:
        np.savez_compressed(file, a=np.arange(3))
    assert np.load(tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]

import pytest

from vidfold.bench import records
from vidfold.bench.records import Records, read

COLUMNS = ("name", "asked", "value")
ROW = {"name": "a", "asked": "0.1", "value": "1"}


def table(tmp_path):
    return Records(tmp_path / "folder" / "table.csv", COLUMNS, ("name", "asked"))


def test_rows_are_read_back(tmp_path):
    table(tmp_path).put(ROW)
    again = table(tmp_path)
    assert again.get(("a", "0.1")) == ROW
    assert again.get(("a", "0.2")) is None
    again.put(ROW | {"asked": "0.2", "value": 'cannot: "x", y\nz'})
    assert read(again.path) == [ROW, ROW | {"asked": "0.2", "value": 'cannot: "x", y\nz'}]


def test_row_with_the_same_key_is_replaced(tmp_path):
    one = table(tmp_path)
    one.put(ROW)
    one.put(ROW | {"value": "2"})
    assert read(one.path) == [ROW | {"value": "2"}]


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    one = table(tmp_path)
    one.put(ROW)

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(records.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        one.put(ROW | {"asked": "0.2"})
    monkeypatch.undo()
    assert read(one.path) == [ROW]
    again = table(tmp_path)
    again.put(ROW | {"asked": "0.3"})
    assert [row["asked"] for row in read(one.path)] == ["0.1", "0.3"]


def test_row_with_other_columns_raises(tmp_path):
    one = table(tmp_path)
    one.put(ROW)
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames: 'more'"):
        one.put(ROW | {"asked": "0.2", "more": "1"})
    assert read(one.path) == [ROW]


def test_file_of_another_version_raises(tmp_path):
    table(tmp_path).put(ROW)
    with pytest.raises(ValueError, match="has other columns than this version writes"):
        Records(tmp_path / "folder" / "table.csv", (*COLUMNS, "new"), ("name", "asked"))


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        (f"name,asked,value\na,0.1,{'x' * 200_000}\n".encode(), "field larger than field limit"),
        (b"na\xffme\n", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, quoted):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"table\.csv' is not a readable CSV table \(.*{quoted}"):
        Records(tmp_path / "table.csv", COLUMNS, ("name", "asked"))

import pytest

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

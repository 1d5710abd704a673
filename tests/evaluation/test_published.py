"""Published numbers: that every table loads, names its sources, and agrees with itself."""

from collections import Counter
from decimal import Decimal

import pytest

from vidfold.app.writing import read_csv
from vidfold.evaluation import published
from vidfold.evaluation.compare import METHODS as PUBLISHED_AS
from vidfold.evaluation.published import AVERAGE, file, load, names, rows, sources
from vidfold.evaluation.tables import listing, published_text
from vidfold.reducers import METHODS

FOLDER = file("1").parent
EVERY = pytest.mark.parametrize("name", names())
FOUR = ("MVBench", "EgoSchema", "LongVideoBench", "VideoMME")


def values(name: str, method: str, retention: float, source: str) -> list[str]:
    found = [n for n in load(name).numbers if (n.method, n.retention, n.source) == (method, retention, source)]
    return [str(number.value) for number in found]


def test_every_file_is_a_table():
    assert {path.stem for path in FOLDER.glob("*.csv")} == set(names())


@EVERY
def test_columns_are_valid(name):
    published = load(name)
    assert published.numbers
    assert published.title
    for number in published.numbers:
        assert number.table == name
        assert number.method
        assert number.benchmark
        assert number.value.is_finite()
        assert number.retention is None or 0 < number.retention <= 1
        assert number.frames is None or number.frames > 0
        assert number.method != "Vanilla" or number.retention == 1


@EVERY
def test_every_number_has_a_source(name):
    known = sources()
    for number in load(name).numbers:
        assert known[number.source]["kind"]
        assert known[number.source]["reference"]


def test_every_source_is_used():
    used = {number.source for name in names() for number in load(name).numbers}
    assert used == set(sources())


def test_every_remark_is_about_a_table():
    assert {row["table"] for row in read_csv(FOLDER / "about" / "remarks.csv")[1]} <= set(names())


@EVERY
def test_numbers_are_unique(name):
    numbers = load(name).numbers
    assert sum(map(len, rows(numbers))) == len(numbers)


@EVERY
def test_averages_equal_the_mean_or_have_a_remark(name):
    for row in rows(load(name).numbers):
        parts = [row[each].value for each in FOUR if each in row]
        if AVERAGE not in row or len(parts) < len(FOUR):
            continue
        # Half a digit of the average and half a digit of its parts.
        agrees = abs(sum(parts) / len(parts) - row[AVERAGE].value) <= Decimal("0.1")
        assert agrees == ("not the mean" not in row[AVERAGE].note), row[AVERAGE]


@EVERY
def test_accuracies_are_in_percent(name):
    for number in load(name).numbers:
        if number.benchmark in FOUR:
            assert number.unit == "%"
            assert 40 < number.value < 80


def test_some_numbers_by_hand():
    assert values("1", "AOT", 0.1, "AOT paper") == ["57.0", "60.6", "54.2", "56.1", "57.0"]
    assert values("1", "VisionZip", 0.05, "HoliTom table") == ["45.1", "51.9", "46.2", "48.4", "47.9"]
    assert values("2", "SimpleCluster", 0.05, "SimpleCluster paper") == ["58.0", "50.1", "55.0", "59.2", "55.6"]
    assert values("2", "DyCoke", 0.25, "not recorded") == ["50.8", "53.0", "56.9"]
    assert values("3", "AOT w/o OT", 0.1, "AOT paper") == ["56.1", "60.2", "53.5", "55.8", "56.4"]
    assert values("qwen2.5-vl", "FlashVID", 0.1, "FlashVID paper") == ["57.3", "55.9", "57.1", "65.5", "58.9"]


def test_logs_confirm_the_paper_for_llava_onevision():
    logged = {(n.retention, n.benchmark): n.value for n in load("logs").numbers if n.frames == 32}
    printed = {(n.retention, n.benchmark): n.value for n in load("1").numbers if n.source == "AOT paper"}
    assert len(logged) == 12
    assert all(abs(value - printed[key]) <= Decimal("0.05") for key, value in logged.items())


def test_repeated_row_has_a_remark():
    found = [n for n in load("2").numbers if n.method == "VisionZip" and n.source == "AOT paper"]
    printed = Counter((number.benchmark, number.value) for number in found)
    assert set(printed.values()) == {2}
    assert all(("repeats" in number.note) == (number.retention == 0.25) for number in found)


def test_prefill_flops_are_those_of_the_formula():
    found = [number for number in load("4").numbers if number.source == "FastV formula"]
    assert len(found) == 11
    layers, width, inner = 28, 3584, 18944
    for number in found:
        full = 32 * 196 if number.frames == 32 else 64 * 169
        tokens = number.retention * full
        flops = layers * (4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * inner)
        assert flops / 1e12 == pytest.approx(float(number.value), rel=0.003)


def test_methods_of_vidfold_go_by_their_published_names():
    printed = {number.method for name in names() for number in load(name).numbers}
    assert set(PUBLISHED_AS.values()) <= printed
    assert set(PUBLISHED_AS) <= {*METHODS, "none"}


def test_unknown_table():
    with pytest.raises(ValueError, match=r"no published table 'log'; did you mean 'logs'\? there are: 1, 2, 3"):
        load("log")
    assert load("table1") == load("1")


def test_file_with_other_columns_raises(monkeypatch):
    monkeypatch.setattr(published, "_lines", lambda path: [{"table": "1", "title": "x", "remark": ""}])
    with pytest.raises(ValueError, match="has the columns table, backbone"):
        load("1")


def test_list_names_all(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(names())]] == list(names())


@EVERY
def test_text_has_every_number_source_and_remark(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    published = load(name)
    shown = published_text(published)
    assert all(str(number.value) in shown for number in published.numbers)
    assert all(source in shown for source in {number.source for number in published.numbers})
    assert all(note in shown for note in {number.note for number in published.numbers})
    assert all(remark in shown for remark in published.remarks)


def test_text_puts_methods_by_retention(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = published_text(load("1")).splitlines()
    assert lines[2].split() == ["retention", "method", *FOUR, "average", "source", "notes"]
    shares = [float(line.split()[0]) for line in lines if " % " in line and line[0].isdigit()][:50]
    assert shares == sorted(shares, reverse=True)
    assert any(line.split()[2:8] == ["AOT", "57.0", "60.6", "54.2", "56.1", "57.0"] for line in lines)


def test_table_with_several_units_has_one_number_per_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert any("TTFT" in line and "696.5 ms" in line for line in published_text(load("4")).splitlines())

"""Tables and quantities as text."""

import math

import pytest

from vidfold import Random
from vidfold.app.tables import described, duration, markdown_table, memory, percent, plus_minus, table


def test_columns_are_aligned():
    assert table([("a", "long word", "x"), ("bcd", "", "yz")]) == "a    long word  x\nbcd             yz"


def test_markdown_tables_escape_bars():
    assert markdown_table([("a", "b"), ("x|y", "1")]) == "| a | b |\n|---|---:|\n| x\\|y | 1 |"


def test_shares_and_errors():
    assert (percent(0.125), percent(1 / 3), percent(None)) == ("12.5 %", "33.3 %", "")
    assert plus_minus(0.9164, 0.0041) == "91.6 ± 0.4"
    assert plus_minus(-0.0052, 0.0016, sign="+") == "-0.5 ± 0.2"
    assert plus_minus(0.5) == "50.0"
    assert plus_minus(math.nan, 0.1) == "-"
    assert plus_minus(-0.0, 0.1, sign="+") == "+0.0 ± 10.0", "no minus before zero"


def test_wide_columns_are_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    lines = table([("answer", "word " * 20, "short")]).splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 50 for line in lines)
    assert lines[0].endswith("short")


@pytest.mark.parametrize(("given", "text"), [(0.2, "0 ms"), (12.4, "12 ms"), (999, "999 ms"), (1234, "1.2 s")])
def test_duration(given, text):
    assert duration(given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (264_192, "264 kB"), (1_855_488, "1.86 MB"), (999.6e6, "1 GB"), (2e9, "2 GB")],
)
def test_memory(given, text):
    assert memory(given) == text


def test_description_shows_changed_settings():
    assert described(Random()) == "random(retention=0.1)"
    assert described(Random(0.25, seed=3)) == "random(retention=0.25, seed=3)"

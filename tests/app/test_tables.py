"""Tables and quantities as text."""

import pytest

from vidfold import Random
from vidfold.app.tables import amount, described, duration, table


def test_columns_are_aligned():
    assert table([("a", "long word", "x"), ("bcd", "", "yz")]) == "a    long word  x\nbcd             yz"


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
    [
        (None, "-"),
        (0, "0.00 B"),
        (999, "999 B"),
        (264_192, "264 kB"),
        (1_855_488, "1.86 MB"),
        (998_400_000, "998 MB"),
        (999_700_000, "1.00 GB"),
        (2e9, "2.00 GB"),
    ],
)
def test_amount(given, text):
    assert amount(given, "B") == text


def test_description_shows_changed_settings():
    assert described(Random()) == "random(retention=0.1)"
    assert described(Random(0.25, seed=3)) == "random(retention=0.25, seed=3)"


def test_names_are_not_broken_at_hyphens(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert "aot-paper" in table([("a b c d e f g h i j k l m n o aot-paper", "other")])


def test_a_number_of_tokens_takes_the_place_of_the_retention():
    assert described(Random(tokens=64)) == "random(tokens=64)"
    assert described(Random(retention=0.1)) == "random(retention=0.1)"

"""Tables and quantities as text."""

import dataclasses
import math

import pytest

from vidfold import Random
from vidfold.app.asking import Answer
from vidfold.app.tables import (
    described,
    duration,
    markdown_table,
    memory,
    percent,
    plus_minus,
    side_by_side,
    table,
    typical,
)


def answer(text: str = "yes", tokens: int = 29, generate: float = 40.0) -> Answer:
    return Answer(text, 288, tokens, tokens + 14, 264_192, {"encode": 100.0, "generate": generate}, tokens / 288)


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


def test_answers_are_shown_side_by_side():
    lines = side_by_side({"unfolded": answer("no", 288), "folded": answer()}, 5.0).splitlines()
    assert [line.split()[0] for line in lines] == [
        "unfolded", "answer", "tokens", "cache", "decode", "encode", "generate", "together",
    ]  # fmt: skip
    assert lines[-1].split() == ["together", "145", "ms", "145", "ms"]
    assert "288 -> 29 (10.1 %)" in lines[2]


def test_description_shows_changed_settings():
    assert described(Random()) == "random(retention=0.1)"
    assert described(Random(0.25, seed=3)) == "random(retention=0.25, seed=3)"


def test_the_typical_answer_has_median_times():
    assert typical([answer(generate=30), answer(generate=90), answer(generate=50)]).milliseconds["generate"] == 50


def test_tokens_dropped_between_layers_are_reported():
    inside = dataclasses.replace(answer("red", 288, 10.0), layer_retention=0.5)
    assert "288, 50.0 % inside on average" in side_by_side({"folded": inside}, 1.0)

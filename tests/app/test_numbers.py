"""Measured numbers as text."""

import math

from vidfold.app.tables import markdown_table, percent, plus_minus


def test_markdown_tables_escape_bars():
    assert markdown_table([("a", "b"), ("x|y", "1")]) == "| a | b |\n|---|---:|\n| x\\|y | 1 |"


def test_shares_and_errors():
    assert (percent(0.125), percent(1 / 3), percent(None)) == ("12.5 %", "33.3 %", "")
    assert plus_minus(0.9164, 0.0041) == "91.6 ± 0.4"
    assert plus_minus(-0.0052, 0.0016, sign="+") == "-0.5 ± 0.2"
    assert plus_minus(0.5) == "50.0"
    assert plus_minus(math.nan, 0.1) == "-"
    assert plus_minus(-0.0, 0.1, sign="+") == "+0.0 ± 10.0", "no minus before zero"

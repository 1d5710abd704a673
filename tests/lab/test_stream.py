"""The film without an end, and what is measured on it."""

import sys

import numpy as np
import pytest

from lab import stream
from lab.stream_world import apart, film
from vidfold.tiny.worlds import COLORS


@pytest.mark.lab
def test_every_colour_comes_once():
    parts = list(film(0, 3000, 1500))
    shown = [part.shown.color for part in parts if part.shown is not None]
    assert sorted(shown) == sorted(COLORS)
    assert sum(len(part.frames) for part in parts) >= 3000
    assert all(len(part.frames) % 8 == 0 and part.seen % 8 == 0 for part in parts)
    for again in (next(film(0, 10, 5)), next(apart(0, 10, 5))):
        np.testing.assert_array_equal(again.frames, parts[0].frames)


@pytest.mark.lab
def test_what_was_shown_long_ago_is_recalled(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["stream", "--frames", "1600", "--output", str(tmp_path)])
    stream.main()
    rows = {line.split("  ")[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    questions, *shares = map(float, rows["recall"])
    recall = dict(zip(stream.WAYS, shares, strict=True))
    assert questions >= 24
    assert recall[stream.STREAM] > recall[stream.WINDOW] + 10
    assert (tmp_path / "tables.txt").read_text().startswith("right answers, %")

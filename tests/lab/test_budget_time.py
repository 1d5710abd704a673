"""The grid of forecasts and its checks, with the embedded model in the place of a large one."""

import sys

import pytest

from lab import budget_time
from vidfold.app import random_models
from vidfold.app.loading import load


@pytest.mark.lab
def test_forecasts_are_printed_beside_what_was_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(random_models, "build", lambda *_, **__: load("tiny", device="cpu").model)
    argv = ["budget_time", "--check", "8x64", "4x32", "--output", str(tmp_path / "grid.txt")]
    monkeypatch.setattr(sys, "argv", argv)
    budget_time.main()
    out = capsys.readouterr().out
    assert "64 frames" in out
    assert "8 frames, 64 tokens" in out
    assert (tmp_path / "grid.txt").read_text() in out

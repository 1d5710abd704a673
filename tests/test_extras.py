"""Optional dependencies that do not load."""

import sys

import pytest

from vidfold import extras


def test_error_names_the_cause_that_transformers_hides(monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(extras.MissingExtra, match=r"torchvision::nms does not exist.*'vidfold repair'"):
        extras.load("transformers", "models")


def test_transformers_works_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert extras.load("transformers", "models").__name__ == "transformers"

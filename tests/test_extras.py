"""Optional dependencies that do not load."""

import importlib.metadata
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


def test_the_remedy_names_packages_that_an_index_has(monkeypatch):
    wanted = ["torch>=2", "av<20,>=15; extra == 'video'", "nowhere-to-be-found>=1; extra == 'video'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    assert extras.requirements("video") == ["av<20,>=15", "nowhere-to-be-found>=1"]
    assert extras.remedy("video") == "pip install 'nowhere-to-be-found>=1'"


def test_the_remedy_without_metadata(monkeypatch):
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert extras.remedy("video") == "pip install 'vidfold[video]'"


def test_all_that_is_missing_at_once(monkeypatch):
    wanted = ["nowhere-a>=1; extra == 'models'", "nowhere-b>=1; extra == 'video'", "torch>=2; extra == 'video'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    with pytest.raises(extras.MissingExtra, match=r"pip install 'nowhere-a>=1' 'nowhere-b>=1'$"):
        extras.need("models", "video")
    extras.need("bench")

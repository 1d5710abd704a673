"""``vidfold models``."""

import dataclasses

import pytest

from tests.models.matrix import CASES, built
from vidfold.cli import main
from vidfold.cli.models import model_class
from vidfold.models import FAMILIES
from vidfold.models.llava_onevision import LlavaOnevision


def printed(capsys, monkeypatch) -> dict[str, str]:
    """Family -> its lines."""
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    return {line.split()[0]: line + after for line, after in zip(lines[::2], lines[1::2], strict=True)}


def test_models(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch)
    for name, family in FAMILIES.items():
        assert "images" in lines[name]
        assert family.saliency in lines[name]
    assert "DeepStack" in lines["qwen3_vl"]
    assert "DeepStack" not in lines["qwen2_vl"]


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_class_is_the_one_that_is_tested(name):
    assert model_class(FAMILIES[name]) == type(built(CASES[name])).__name__


def test_error_names_unsupported_methods(capsys, monkeypatch):
    @dataclasses.dataclass(frozen=True, eq=False)
    class Poor(LlavaOnevision):
        model_type = "poor"
        gives = frozenset({"deep"})

    monkeypatch.setitem(FAMILIES, "poor", Poor)
    line = printed(capsys, monkeypatch)["poor"]
    assert line.endswith("cannot serve aot-paper, aot-reference, tome, visionzip")

"""``vidfold methods``."""

import dataclasses

import pytest

from tests.cli.running import refused
from vidfold.cli import main
from vidfold.reducers import METHODS


def test_methods(capsys):
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    for name, method in METHODS.items():
        assert f"\n{name} " in f"\n{out}"
        assert all(need in out for need in method().needs)


@pytest.mark.parametrize("command", ["methods", "models"])
def test_lists_fit_a_narrow_terminal(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_one_method_with_its_fields(capsys):
    assert main(["methods", "aot-paper"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{field.name} " in out for field in dataclasses.fields(METHODS["aot-paper"]))
    assert "did you mean 'tome'?" in refused(capsys, "methods", "tom")

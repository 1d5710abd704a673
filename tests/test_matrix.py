"""The test matrix fails where a cell fails or no cell could be run, and names Pythons that are missing."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "scripts" / "test_matrix.py"


@pytest.fixture
def outcome(monkeypatch, capsys):
    """Run the matrix with commands that fail where a word is in them; returns the exit status and what was printed."""
    spec = importlib.util.spec_from_file_location("test_matrix_script", PATH)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*failing: str) -> tuple[int, str]:
        monkeypatch.setattr(script, "run", lambda *command: any(word in " ".join(command) for word in failing))
        monkeypatch.setattr(sys, "argv", ["test_matrix.py", "--pythons", "3.11", "3.12"])
        return script.main(), capsys.readouterr().out

    return run


def test_every_cell_passes(outcome):
    status, printed = outcome()
    assert status == 0
    assert printed.count(": passed") == 2 * 3


def test_a_missing_python_is_named_and_the_others_count(outcome):
    status, printed = outcome("venv --quiet --clear --no-python-downloads --python 3.12")
    assert status == 0
    assert printed.count("3.12 oldest: missing Python") == 1


@pytest.mark.parametrize("failing", ["uv venv", "pip install", "pytest", "3.12-newest/bin/vidfold repair"])
def test_failures_and_nothing_run_are_failures(outcome, failing):
    status, _ = outcome(failing)
    assert status == 1

"""``vidfold plan``, and the budgets of ``vidfold ask``."""

import json
from pathlib import Path

import pytest

from tests.cli.running import refused
from vidfold.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Costs are kept in the home folder."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


def test_plan_is_printed_and_checked(capsys, clip):
    assert main(["plan", str(clip), "--tokens", "64"]) == 0
    out = capsys.readouterr().out
    assert "32 frames at 2.0 tokens: 64 tokens, about" in out
    assert "-> " in out
    assert "measured: " in out
    assert "off" in out
    assert "earlier plan" not in out
    assert out.splitlines()[-1].startswith("memory beside the weights: ")
    assert main(["plan", str(clip), "--tokens", "64", "--no-check"]) == 0
    assert "costs are those of an earlier plan" in capsys.readouterr().out
    assert main(["plan", "--memory", "1 GB", "--seconds", "60", "--frames", "3", "--no-check"]) == 0
    out = capsys.readouterr().out
    assert "3 frames at 36.0 tokens: 108 tokens" in out
    assert "measured" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give a budget: --tokens, --seconds or --memory"),
        (("--memory", "much"), "--memory must be a size such as '6 GB', got 'much'"),
        (("--seconds", "1e-9"), "no plan is within 1e-09 s: the least is 1 frame at 1 tokens"),
        (("--tokens", "4", "--frames", "0"), "frames must be a whole number of at least 1, got 0"),
        (("--tokens", "0"), "tokens must be a whole number of at least 1, got 0"),
    ],
)
def test_budgets_that_cannot_be_met(capsys, options, message):
    assert message in refused(capsys, "plan", *options)


def test_ask_keeps_exactly_so_many_tokens(capsys, clip):
    for choose in ("even", "scenes", "novel"):
        asked = ["ask", str(clip), "what is the first scene?", "--tokens", "40", "--choose", choose, "--json"]
        assert main(asked) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["folded"]["tokens_after"] == 40
        assert told["frames"] == 16
    assert main(["ask", str(clip), "what is the first scene?", "--tokens", "40"]) == 0
    assert "16 frames at 2.5 tokens" in capsys.readouterr().out


def test_budgets_of_ask_that_do_not_fit(capsys, clip):
    asked = "ask", str(clip), "what?"
    assert "give --retention or --tokens, not both" in refused(capsys, *asked, "--tokens", "4", "--retention", "0.2")
    assert "fastv has no field 'tokens'" in refused(capsys, *asked, "--tokens", "4", "--method", "fastv")
    assert "did you mean 'scenes'" in refused(capsys, *asked, "--choose", "scene")
    assert "cannot be loaded" in refused(capsys, *asked, "--choose", clip)
    assert "needs one question, got 2" in refused(capsys, *asked, "how?", "--choose", clip)

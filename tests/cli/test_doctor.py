"""``vidfold doctor``."""

import json
import sys

import vidfold
from vidfold.cli import main


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert all(f" {part} " in out for part in ("vidfold", "torch", "transformers", "av", "decoders", "triton"))
    assert vidfold.__version__ in out


def test_what_is_missing_and_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["doctor", "--json"]) == 0
    found = {each["part"]: each for each in json.loads(capsys.readouterr().out)}
    assert "pip install " in found["av"]["missing"]
    assert "decoders" not in found
    assert found["torch"]["missing"] == ""

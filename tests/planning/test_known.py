"""Costs that are measured once for each machine, model and form of inputs."""

import copy

import pytest
import torch

from vidfold.app.loading import load
from vidfold.planning import known, known_costs
from vidfold.planning.costs import Costs, Line, inputs_of

COSTS = Costs(36, 9, Line(0.0, 0.1), Line(0.2, 0.3), Line(0.0, 0.0), Line(0.1, 0.2), 10, Line(1.0, 20.0), 30)


@pytest.fixture
def calls(monkeypatch):
    """How often costs were measured."""
    found = []
    monkeypatch.setattr(known, "calibrate", lambda *_, **__: found.append(1) or COSTS)
    return found


def test_costs_are_measured_once(tmp_path, calls):
    loaded = load("tiny", device="cpu")
    inputs, folder = inputs_of(loaded), tmp_path / "costs"
    assert known_costs(loaded.model, inputs, folder) == (COSTS, False)
    assert known_costs(loaded.model, inputs, folder) == (COSTS, True)
    assert known_costs(loaded.model, inputs, folder, again=True) == (COSTS, False)
    assert known_costs(loaded.model, inputs, folder, about="(48, 96)") == (COSTS, False)
    other = copy.deepcopy(loaded.model)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert known_costs(other, inputs, folder) == (COSTS, False)
    assert known_costs(loaded.model.double(), inputs, folder) == (COSTS, False)
    assert (len(calls), len(list(folder.iterdir()))) == (5, 4)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": 1}', "null", '{"cells": {"start": 1}}'])
def test_a_damaged_file_is_replaced(tmp_path, calls, content):
    loaded = load("tiny", device="cpu")
    inputs = inputs_of(loaded)
    known_costs(loaded.model, inputs, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert known_costs(loaded.model, inputs, tmp_path) == (COSTS, False)
    assert known_costs(loaded.model, inputs, tmp_path) == (COSTS, True)

"""Leak and salience of the shipped model."""

import pytest
import torch
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from lab.architecture import SHIPPED
from lab.probe import leak, main, salience
from lab.scoring import accuracy
from vidfold.models import LlavaOnevision
from vidfold.tiny import path, questions, render, seeds
from vidfold.tiny.worlds import WORLDS


@pytest.fixture(scope="module")
def loaded():
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(path(), dtype=torch.float32).eval()
    return LlavaOnevision(model), AutoProcessor.from_pretrained(path())


@pytest.mark.parametrize("world", WORLDS)
def test_objects_and_dots_are_salient(loaded, world):
    things, dots = salience(*loaded, seeds("search", 4, world=world))
    assert things > 2
    assert dots > 2


def test_leak_is_what_background_tells(loaded):
    """Scenes stay known; how many objects there are does not, although all tokens tell it."""
    clips = seeds("search", 4)
    shares = leak(*loaded, clips)
    assert set(shares) == {question.kind for seed in clips for question in questions(render(seed))}
    assert shares["scene"] == 1
    assert shares["count"] <= 0.5
    assert shares["where"] <= 0.6
    everything = accuracy(loaded[0].model, SHIPPED.grid, len(clips))
    assert everything["count"] == 1
    assert everything["where"] > shares["where"]


def test_command_line(capsys):
    main(["--clips", "1", "--world", "second", "--frames", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("leak: scene ")
    assert [line.split(":")[0] for line in lines[1:]] == [f"salience in layer {layer}" for layer in range(4)]
    for choice, message in (("--frames", "frames must be a whole number"), ("--clips", "which goes beyond them")):
        with pytest.raises(SystemExit):
            main([choice, "-1"])
        assert message in capsys.readouterr().err

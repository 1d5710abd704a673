"""What the shipped tower's tokens and attention know."""

import pytest
import torch
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from vidfold.models import LlavaOnevision
from vidfold.tiny import path, seeds
from vidfold.tiny.probe import leak, salience

CLIPS = seeds("validation", 4)


@pytest.fixture(scope="module")
def loaded():
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(path(), dtype=torch.float32).eval()
    return LlavaOnevision(model), AutoProcessor.from_pretrained(path())


def test_attention_of_the_observed_layer_finds_things(loaded):
    things, dot = salience(*loaded, CLIPS)
    assert things > 2
    assert dot > 2


def test_what_leaks_is_a_share_of_every_kind(loaded):
    shares = leak(*loaded, CLIPS)
    assert shares["scene"] == 1
    assert all(0 <= share <= 1 for share in shares.values())

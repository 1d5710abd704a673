"""Clips one after another, made up: what is known of them is what is measured."""

import numpy as np
import pytest
import torch

from lab import joined
from lab.joined import LENGTHS, QUERY, Seen, likeness, recalls, together

pytestmark = pytest.mark.lab
NAMES = [f"thing {number}" for number in range(9)]
TEXTS = dict(zip(NAMES, np.eye(16), strict=False))


@pytest.fixture(scope="module")
def every():
    """Clips of one thing each; their frames are alike."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for number, name in enumerate(NAMES):
        tokens = torch.randn(1, 49, 32, generator=generator).expand(max(LENGTHS), -1, -1)
        looks = np.full((max(LENGTHS), 192), (number + 1) / 10)
        vectors = np.repeat(TEXTS[name][None], max(LENGTHS), 0)
        found.append(Seen(name, (name, "person"), looks, vectors, tokens))
    return found


def test_different_things_are_joined(every):
    parts, lengths = together(every, 0)
    assert sorted(lengths) == sorted(LENGTHS)
    assert [len(each.tokens) for each in parts] == lengths
    assert len({each.name for each in parts}) == len(LENGTHS)
    assert [each.name for each in together(every, 1)[0]] != [each.name for each in parts]


def test_shots_are_recalled_and_names_are_found(every, monkeypatch):
    monkeypatch.setattr(joined, "FRAMES", (8, 64))
    monkeypatch.setattr(joined, "TOKENS", (64, 392))
    parts, lengths = together(every, 0)
    found = recalls(parts, np.cumsum(lengths))
    assert found["scenes", 8, 392] == pytest.approx(1), "a frame of every shot, whole"
    assert found["even", 8, 392] < 0.9
    assert found["even", 64, 64] < found["even", 64, 392]
    rows = likeness(parts, np.cumsum(lengths), TEXTS)
    hit, share, _ = np.mean(rows[QUERY, 2], 0)
    assert hit == 1
    assert share > np.mean(rows["even", 2], 0)[1]

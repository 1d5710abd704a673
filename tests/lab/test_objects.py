"""Objects in photographs: which cells are theirs, and from which token each is read."""

import sys

import pytest
import torch

from lab.real import objects
from vidfold import VideoTokens
from vidfold.bench.settings import FULL, Setting

SIDE = 4
OBJECT, THINGS = 3, torch.tensor([0, 1, 4, 5, 8, 9, 12, 13])
"""An object fills the left half of the picture."""


class Ahead:
    """Names tokens by their largest channel."""

    def vectors(self, tokens):
        return tokens

    def best(self, vectors):
        return vectors.argmax(-1)


@pytest.fixture
def tokens():
    features = torch.nn.functional.one_hot(torch.full((SIDE * SIDE,), 5), 8).float()
    features[THINGS] = torch.nn.functional.one_hot(torch.tensor(OBJECT), 8).float()
    return VideoTokens(features[None], (SIDE, SIDE))


def test_cells_that_a_mask_covers_are_the_objects(tokens):
    mask = torch.zeros(48, 48, dtype=torch.uint8)
    mask[:, :24] = objects.KINDS[OBJECT]
    mask[:6, 36:] = objects.KINDS[0]  # two cells, half covered
    ((name, cells),) = objects._objects(mask, tokens)
    assert name == OBJECT
    assert torch.equal(cells, THINGS)


def test_a_cell_is_read_from_the_nearest_token(tokens):
    found = [(OBJECT, THINGS)]
    assert objects._named_right(tokens, found, Ahead(), FULL, 0) == 1
    assert objects._named_right(tokens, [(5, THINGS)], Ahead(), FULL, 0) == 0
    one = objects._named_right(tokens, found, Ahead(), Setting("random", 1 / (SIDE * SIDE)), 0)
    assert one in (0, 1)


def test_a_folder_without_masks_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["objects", "--data", str(tmp_path), "--output", str(tmp_path)])
    with pytest.raises(SystemExit):
        objects.main()
    assert "holds no photos/coco_masks" in capsys.readouterr().err

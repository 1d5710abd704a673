"""A small model with random weights, created once for all tests."""

import pytest
import torch

from vidfold.tiny.model import TinyConfig, build

SIZES = TinyConfig(patch=8, vision_width=32, vision_layers=2, vision_heads=2, width=48, layers=3, heads=3)


@pytest.fixture(scope="session")
def small():
    """A model with large weights in the language model, so that its answers depend on the tokens."""
    model = build(SIZES).eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
    return model

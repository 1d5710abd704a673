"""A small model with random weights, made once for all tests."""

import pytest
import torch

from vidfold.tiny.model import TinyConfig, build

SIZES = TinyConfig(patch=8, vision_width=32, vision_layers=2, vision_heads=2, width=48, layers=3, heads=3)


@pytest.fixture(scope="session")
def small():
    """Its language model has larger weights than training begins with, so that tokens matter to its answers."""
    model = build(SIZES).eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
    return model

"""Every model family in turn, as in tests of models, and the embedded model."""

import pytest

from tests.models.conftest import case, model
from vidfold.app.loading import VideoModel, load

__all__ = ["case", "model"]


@pytest.fixture(scope="session")
def tiny() -> VideoModel:
    return load(device="cpu")

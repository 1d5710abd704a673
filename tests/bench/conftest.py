"""The embedded model and a finished bench of few clips, created once for all tests."""

import pytest

from vidfold.app.loading import VideoModel, load
from vidfold.bench import quality

METHODS = ("random", "aot-reference")
RETENTIONS = (0.25, 0.10)
CLIPS = 3


@pytest.fixture(scope="session")
def tiny() -> VideoModel:
    return load()


@pytest.fixture(scope="session")
def bench(tmp_path_factory, tiny):
    """Folder of a finished run, and its rows."""
    folder = tmp_path_factory.mktemp("bench")
    return folder, quality(METHODS, RETENTIONS, CLIPS, folder, models=[tiny])

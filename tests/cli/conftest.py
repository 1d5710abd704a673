"""A clip as a file, and commands that never find the machine slow."""

import pytest

from tests.cli.running import CLIP
from vidfold.video import write


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, CLIP.frames, fps=2, scale=4, hold=12)
    return str(path)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """No line about slow work: on a busy machine it would come before any other."""
    monkeypatch.setattr("vidfold.app.progress.PATIENCE", 600.0)

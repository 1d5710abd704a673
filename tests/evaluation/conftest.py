"""Clips as files, the embedded model, and a small LLaVA-Video as its authors publish it."""

import pytest

from tests.models import publishing
from vidfold.app.loading import load
from vidfold.tiny import questions, render, seeds
from vidfold.video import write

CLIPS = [render(seed) for seed in seeds("search", 3)]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Paths of three clips with their questions."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / f"clip{number}.mp4" for number in range(len(CLIPS))]
    for path, clip in zip(paths, CLIPS, strict=True):
        write(path, clip.frames, fps=2, scale=4, hold=12)
    return [(str(path), questions(clip)) for path, clip in zip(paths, CLIPS, strict=True)]


@pytest.fixture(scope="session")
def tiny():
    return load(device="cpu")


@pytest.fixture(scope="session")
def llava_video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    publishing.publish(folder, publishing.weights(publishing.stock()), **publishing.LLAVA_VIDEO)
    return load(str(folder), device="cpu")

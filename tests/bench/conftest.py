"""The embedded model, a small random one, and a finished run of each kind of bench, made once for all tests."""

import pytest
import torch

from lab.architecture import TinyConfig, build
from lab.processing import processor
from vidfold.app.loading import VideoModel, load
from vidfold.bench.clips import Scenes
from vidfold.bench.quality import quality_plan, settings, suite_plan
from vidfold.bench.run import run

METHODS = ("random", "aot-reference", "fastv")
RETENTIONS = (0.25, 0.10)
CLIPS = 3
SIZES = TinyConfig(patch=8, vision_width=32, vision_layers=2, vision_heads=2, width=48, layers=3, heads=3)


@pytest.fixture(scope="session")
def tiny() -> VideoModel:
    return load()


@pytest.fixture(scope="session")
def small() -> VideoModel:
    """A model with large weights in the language model, so that its answers depend on the tokens."""
    model = build(SIZES).eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
    return VideoModel("small", model, processor(8), 0.0)


@pytest.fixture(scope="session")
def bench(tmp_path_factory, small):
    """Folder of a finished quality run, and its results."""
    folder = tmp_path_factory.mktemp("bench")
    plan = quality_plan(settings(METHODS, RETENTIONS), [Scenes(CLIPS, split="search")], [small])
    return folder, run(plan, folder)


@pytest.fixture(scope="session")
def twins(small) -> dict[str, VideoModel]:
    return {name: VideoModel(name, small.model, small.processor, 0.0) for name in ("tiny", "tiny-whole")}


@pytest.fixture(scope="session")
def suite(tmp_path_factory, twins):
    """Folder of a finished suite, and its results."""
    folder = tmp_path_factory.mktemp("suite")
    plan = suite_plan("confirm", ["random", "aot-reference"], [0.25], 3, (4, 8), models=twins)
    return folder, run(plan, folder)

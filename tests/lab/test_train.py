import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lab.architecture import TinyConfig
from lab.learner import Learner, select
from lab.packing import ASK, Batch, pack
from lab.recipe import RECIPE, TWIN, Stage, learning_rate
from lab.train import CHECKPOINT, MODEL, Run, train
from vidfold.tiny.language import VOCABULARY
from vidfold.tiny.scenes import RANGES, SECOND_WORLD, world_of

pytestmark = pytest.mark.lab

SIZES = TinyConfig(patch=16, vision_width=32, vision_layers=1, vision_heads=2, width=48, layers=2, heads=3)
SHORT = (
    Stage("vision", first=0, clips=8, batch=2, muon=0.01, adam=1e-3, frames=(2,), presence=0.5),
    Stage("language", first=100, clips=8, batch=2, muon=0.01, adam=1e-3, frames=(4, 8)),
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train(run(out))
    return out


def run(out: Path, **choices) -> Run:
    return Run(out=out, recipe=SHORT, sizes=SIZES, save_every=3, log_every=1, validation=2, **choices)


def batch_of(stage: Stage) -> Batch:
    return pack(stage.seeds(0, 0, 1), SIZES.grid, stage.length(0))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / CHECKPOINT)["model"]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_run_writes_a_loadable_model(uninterrupted):
    from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

    model = LlavaOnevisionForConditionalGeneration.from_pretrained(uninterrupted / MODEL)
    assert AutoProcessor.from_pretrained(uninterrupted / MODEL).num_image_tokens == 36
    assert model.dtype == torch.float16
    expected = weights(uninterrupted)["model.image_newline"].half()
    torch.testing.assert_close(model.model.image_newline.data, expected)


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_resumed_run_equals_uninterrupted_run(uninterrupted, tmp_path, stop):
    train(run(tmp_path, stop=stop))
    assert not (tmp_path / MODEL).exists()
    train(run(tmp_path, resume=True))
    assert_same(weights(tmp_path), weights(uninterrupted))


def test_two_processes_train_like_one(tmp_path):
    train(replace(run(tmp_path / "two", processes=2), bfloat16=False, stop=3))
    train(replace(run(tmp_path / "one"), bfloat16=False, stop=3))
    train(run(tmp_path / "none", stop=0))
    two, one, none = (weights(tmp_path / name) for name in ("two", "one", "none"))
    moved = sum((one[name] - none[name]).norm() for name in one)
    apart = sum((one[name] - two[name]).norm() for name in one)
    assert apart < 0.2 * moved


def test_init_loads_weights(uninterrupted, tmp_path):
    train(run(tmp_path, init=uninterrupted / CHECKPOINT, stop=0))
    assert_same(weights(tmp_path), weights(uninterrupted))


def test_stages_change_only_what_they_train():
    learner = Learner(SIZES, torch.device("cpu"))
    for stage in SHORT:
        before = {name: value.clone() for name, value in learner.model.state_dict().items()}
        learner.enter(stage)
        learner.step(stage, 1, batch_of(stage), processes=1)
        moved = {name for name, value in learner.model.state_dict().items() if not torch.equal(value, before[name])}
        assert any("vision_tower" in name for name in moved) == (stage.trains == "vision")
        assert all("vision_tower" in name for name in moved) == (stage.trains == "vision")
        assert ("model.image_newline" in moved) == (stage.trains == "language")


def test_training_lowers_the_loss():
    learner = Learner(SIZES, torch.device("cpu"))
    stage = replace(SHORT[1], clips=600, batch=4)
    learner.enter(stage)
    batch = batch_of(stage)
    losses = [float(learner.step(stage, step, batch, processes=1)["answer"]) for step in range(60)]
    assert losses[-1] < 0.7 * losses[0]


def test_empty_slots_do_not_change_the_loss():
    stage, told = SHORT[1], []
    batch = batch_of(stage)
    assert not batch.valid.all()
    others = batch.ids.clone()
    others[:, ASK + 1] = torch.where(batch.valid, batch.answers, VOCABULARY["purple"])
    for ids in (batch.ids, others):
        learner = Learner(SIZES, torch.device("cpu"))
        learner.enter(stage)
        told.append(learner.step(stage, 1, replace(batch, ids=ids), processes=1))
    assert not torch.equal(batch.ids, others)
    torch.testing.assert_close(told[0], told[1])


def test_selection_is_unbiased_and_half_of_it_keeps_all():
    counts = torch.zeros(8 * 36)
    everything = 0
    for seed in range(400):
        chosen = select(clips=2, frames=8, cells=36, rng=torch.Generator().manual_seed(seed), whole=0.5)
        assert (chosen.diff() > 0).all()
        assert 8 <= chosen.shape[1] <= 288
        if chosen.shape[1] == 288:
            everything += 1
        else:
            counts += torch.zeros_like(counts).index_add(0, chosen.flatten(), torch.ones(chosen.numel()))
    assert 150 < everything < 250
    cells, frames = counts.view(8, 36).mean(0), counts.view(8, 36).mean(1)
    assert (cells / cells.mean() - 1).abs().max() < 0.15
    assert (frames / frames.mean() - 1).abs().max() < 0.05


def share_of_everything(frames: int, whole: float) -> float:
    total = frames * 36
    draws = [select(1, frames, 36, torch.Generator().manual_seed(seed), whole).shape[1] == total for seed in range(200)]
    return sum(draws) / len(draws)


@pytest.mark.parametrize("frames", [1, 4, 8, 16, 24, 32])
def test_whole_videos_stay_whole_at_every_length(frames):
    assert share_of_everything(frames, whole=1.0) == 1
    assert share_of_everything(frames, whole=0.0) < 0.1  # near 100 % of few tokens, rounding keeps all


def test_long_clips_are_read_whole_less_often():
    assert share_of_everything(16, whole=0.4) == pytest.approx(0.4, abs=0.1)
    assert share_of_everything(32, whole=0.4) == pytest.approx(0.4 * 640 / 1152, abs=0.08)


def test_processes_and_steps_never_share_a_clip():
    seeds = [seed for step in range(4) for rank in range(2) for seed in SHORT[0].seeds(step, rank, 2)]
    assert sorted(seed % SECOND_WORLD for seed in seeds) == list(range(8))
    assert sorted(world_of(seed) for seed in seeds) == 4 * ["first"] + 4 * ["second"]
    spans = sorted((stage.first, stage.first + stage.clips) for stage in (*RECIPE, *TWIN))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= RANGES["train"].stop


def test_clip_lengths_are_the_same_in_all_processes():
    (stage,) = (stage for stage in SHORT if stage.trains == "language")
    drawn = [stage.length(step) for step in range(40)]
    assert drawn == [stage.length(step) for step in range(40)]
    assert set(drawn) == {4, 8}
    assert {frames for stage in RECIPE for frames in stage.frames} >= {8, 32}


def test_learning_rate_schedule():
    assert learning_rate(0.0, 0) == pytest.approx(1 / 25)
    assert learning_rate(0.3, 1000) == 1
    assert learning_rate(0.725, 1000) == pytest.approx(0.5)
    assert learning_rate(0.9999, 1000) == 0.02


def test_bad_runs_raise(tmp_path):
    with pytest.raises(ValueError, match="3 processes cannot share a batch of 2"):
        run(tmp_path, processes=3)
    with pytest.raises(ValueError, match="several processes need device 'cpu'; got 'cuda' with 2"):
        run(tmp_path, processes=2, device="cuda")
    with pytest.raises(ValueError, match="nothing to resume"):
        run(tmp_path, resume=True)

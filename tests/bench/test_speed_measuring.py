"""Complete runs with small models."""

import dataclasses
from functools import partial

import pytest
import torch

from tests.bench.speed_runs import subject
from tests.conftest import make_video
from tests.models import qwen2_5_vl_model
from tests.models.builders import llava_onevision, shared
from vidfold import AOT, Pooling, Random, models
from vidfold.bench import random_inputs
from vidfold.bench.speed import Plan, Results, Subject, measure, overview
from vidfold.bench.speed.memory import Peak
from vidfold.bench.speed.plan import Case, Clock
from vidfold.bench.speed.stopwatch import Stopwatch, timed
from vidfold.bench.speed.tower import TowerTimes, joined, stock, tapped
from vidfold.bench.speed.ways import spaced

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run() -> Results:
    """The paper's AOT on three frames of two videos, on the grid of the authors' way."""
    plan = Plan(AOT.paper(), frames=(3,), batches=(2,), runs=2, new_tokens=3, minutes=5)
    return measure(plan, subject(shared(depth=3)))


def test_all_stages_of_all_ways_are_measured(run):
    (case,) = run.cases
    assert [way.name for way in case.ways] == ["unfolded", "folded", "oracle", "authors"]
    assert [sorted(way.milliseconds) for way in case.ways] == [
        ["prefill", "step"],
        ["fold", "prefill", "splice", "step"],
        ["prefill", "splice", "step"],
        ["fold", "fold_aside", "prefill", "splice", "step"],
    ]
    for way in case.ways:
        assert {stage: len(times) for stage, times in way.milliseconds.items()} == {
            stage: 6 if stage == "step" else 2 for stage in way.milliseconds
        }
        assert all(time > 0 for times in way.milliseconds.values() for time in times)
        assert case.first_token(way) > 0
    assert case.read_ms > 0


def test_tower_groups_cover_all_frames(run):
    (case,) = run.cases
    assert [[group.frames for group in each] for each in case.passes] == [[4, 2]] * 2
    assert all(set(group.milliseconds) == {"plain", "tapped", "authors"} for each in case.passes for group in each)
    assert case.is_whole("authors")


def test_tokens_and_cache(run):
    unfolded, folded, oracle, authors = run.cases[0].ways
    assert (run.cases[0].tokens, run.cases[0].text) == (588, 13)
    assert unfolded.tokens == (588, 588)
    assert folded.tokens == oracle.tokens == (59, 59)
    assert authors.tokens[0] > 10
    assert folded.cache_positions == oracle.cache_positions == 59 + 13
    assert folded.cache_bytes == 2 * (2 * 2 * 8 * 4) * 2 * (59 + 13)  # layers, heads and channels of keys and values


def test_json_round_trip(run):
    assert Results.from_dict(run.as_dict()) == run
    assert "authors' way" in overview(run)
    assert run.provenance["threads"] == str(torch.get_num_threads())


def test_methods_without_attention_have_no_saliency_cost():
    run = measure(Plan(AOT(), frames=(3,), runs=1, new_tokens=1), subject(shared(depth=2)))
    (case,) = run.cases
    assert not AOT().needs
    assert case.way("folded").tower == "plain"
    assert set(case.tower_work) == {"plain"}
    assert case.way("authors").tokens[0] > 10  # folds by attention in the same run
    text = " ".join(overview(run).split())
    assert "Observing attention made" not in text
    assert "First token of the authors' way" in text


def test_model_is_unchanged():
    model = llava_onevision(depth=2)
    measure(Plan(AOT.paper(), frames=(2,), runs=1, new_tokens=1), subject(model))
    assert not model._forward_pre_hooks
    assert model.base_model.vision_tower.config._attn_implementation == "sdpa"


def test_other_methods_and_grids_have_no_authors_way():
    other = measure(Plan(Random(), frames=(2,), runs=1, new_tokens=1), subject(shared(depth=2)))
    assert [way.name for way in other.cases[0].ways] == ["unfolded", "folded", "oracle"]
    small = measure(Plan(AOT(), frames=(2,), runs=1, new_tokens=1), subject(shared(side=12, depth=2)))
    assert [way.name for way in small.cases[0].ways] == ["unfolded", "folded", "oracle"]


def test_without_time_every_stage_runs_once_and_the_authors_tower_partly():
    plan = Plan(AOT.paper(), frames=(6,), runs=5, new_tokens=1, minutes=1e-6)
    run = measure(plan, subject(shared(depth=2)))
    (case,) = run.cases
    assert len(case.passes) == 1
    assert all(len(way.milliseconds["prefill"]) == 1 for way in case.ways)
    assert case.pictures("tapped") == 6
    assert case.pictures("authors") == 2
    assert case.first_token(case.way("authors")) is None
    assert "measured on 2 of 6 frames" in " ".join(overview(run).split())


def test_embedded_model_on_a_video(tiny):
    results = measure(Plan(AOT(), frames=(4,), runs=1, new_tokens=2), Subject.of(tiny))
    assert results.cases[0].tokens == 144
    assert not results.model["random_weights"]
    assert "generated clip of 2 s, 640 x 360" in results.video


def test_more_frames_than_the_video_has(tiny, tmp_path):
    from vidfold.bench.speed.clip import film

    film(tmp_path / "clip.mp4", 1)
    with pytest.raises(ValueError, match="frames must be at most 12, the number of frames in"):
        measure(Plan(AOT(), frames=(4, 40)), Subject.of(tiny), video=tmp_path / "clip.mp4")


def test_progress_reaches_its_total(tiny):
    seen: list[tuple[int, int]] = []
    measure(Plan(AOT(), frames=(4,), runs=2, new_tokens=1), Subject.of(tiny), watch=lambda *step: seen.append(step))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][0] == seen[-1][1]


def test_groups_equal_one_call_of_the_tower():
    model = shared(depth=2)
    inputs = subject(model).inputs(range(5), 2)
    family = models.family(model)
    ways = {"plain": stock(model), "tapped": tapped(family, AOT.paper().needs)}
    tower = TowerTimes(Case(5, 2), inputs, ways, 2, CPU)
    videos = tower.run(Clock(60), 0.0, lambda: None)
    for video, whole in zip(videos, family.encode(inputs, AOT.paper().needs), strict=True):
        torch.testing.assert_close(video.features, whole.features)
        torch.testing.assert_close(video.shallow, whole.shallow)


def test_oracle_keeps_side_features():
    video = dataclasses.replace(make_video(frames=2, pooling=Pooling.NONE), side=torch.randn(3, 2, 72, 5))
    reduction = spaced(video, 9)
    index = reduction.frames * 72 + reduction.cells
    assert torch.equal(reduction.side, video.side.flatten(1, 2)[:, index])


def qwen() -> Subject:
    """A small Qwen2.5-VL on frames of 40 x 40 pixels."""
    model = qwen2_5_vl_model.build()
    make = partial(random_inputs.inputs, model, text=12, side=40)
    return dataclasses.replace(subject(model), inputs=lambda frames, batch: make(len(frames), batch))


@pytest.mark.parametrize("size", [1, 2, 4, None])
def test_groups_of_temporal_patches_equal_one_call(size):
    under_test = qwen()
    inputs = under_test.inputs(range(7), 2)
    ways = {"plain": stock(under_test.model), "tapped": tapped(under_test.family, AOT.paper().needs)}
    tower = TowerTimes(Case(7, 2), inputs, ways, size, CPU)
    videos = tower.run(Clock(60), 0.0, lambda: None)
    assert sum(group.frames for group in tower.passes[0]) == 14
    assert len(tower.passes[0]) == {1: 4, 2: 4, 4: 2, None: 1}[size]
    for video, whole in zip(videos, under_test.family.encode(inputs, AOT.paper().needs), strict=True):
        torch.testing.assert_close(video.features, whole.features, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(video.deep, whole.deep, rtol=1e-4, atol=1e-5)


def test_other_families_have_no_tower_work():
    run = measure(Plan(AOT.paper(retention=0.2), frames=(4,), runs=1, new_tokens=2), qwen())
    (case,) = run.cases
    assert case.tokens == 2 * 25
    assert [way.name for way in case.ways] == ["unfolded", "folded", "oracle"]
    assert case.way("folded").tokens == (10,)
    assert case.tower_work == {}
    assert "not counted for qwen2_5_vl" in " ".join(overview(run).split())


def test_joined_videos_keep_shared_fields():
    video = make_video(frames=2)
    both = joined([video, video])
    assert both.frames == 4
    assert both.keys.shape[0] == 4
    assert both.newline is None
    side = dataclasses.replace(video, side=torch.randn(3, 2, 72, 5))
    assert joined([side, side]).side.shape == (3, 4, 72, 5)


def test_way_that_does_not_fit_into_memory_is_skipped():
    def greedy(inputs):
        raise torch.OutOfMemoryError("too much")

    model = shared(depth=2)
    inputs = subject(model).inputs(range(2), 1)
    ways = {"plain": stock(model), "tapped": tapped(models.family(model), frozenset()), "authors": greedy}
    tower = TowerTimes(Case(2, 1), inputs, ways, 2, CPU)
    assert tower.warm_up() == ["authors"]
    assert set(tower.ways) == {"plain", "tapped"}
    tower.ways["plain"] = greedy
    with pytest.raises(torch.OutOfMemoryError):
        tower.warm_up()


def test_oracle_tokens_are_evenly_spaced():
    video = make_video(frames=3)
    reduction = spaced(video, 12)
    assert len(reduction) == 12
    assert torch.bincount(reduction.frames).tolist() == [4, 4, 4]
    torch.testing.assert_close(reduction.tokens, video.pooled()[reduction.frames, reduction.cells])


def test_laps_and_memory():
    watch = Stopwatch(CPU)
    watch.mark()
    watch.mark()
    first, second = watch.laps()
    assert 0 <= first < 1000
    assert 0 <= second < 1000
    peak = Peak(CPU)
    assert timed(lambda: torch.ones(20_000_000).sum().item(), CPU)[0] == 20_000_000
    assert 70e6 < peak.above() < 200e6 or "ru_maxrss" in peak.source


def test_gpu_times_are_read_from_events(monkeypatch):
    now = iter((1.0, 4.0, 9.0))

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            assert stream == "stream of cuda:1"
            self.time = next(now)

        def synchronize(self):
            pass

        def elapsed_time(self, later):
            return later.time - self.time

    used = iter((100, 350))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: next(used))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(used))
    device = torch.device("cuda", 1)
    watch = Stopwatch(device)
    watch.mark()
    watch.mark()
    assert watch.laps() == [3.0, 5.0]
    assert Peak(device).above() == 250

"""Complete runs with small models."""

import dataclasses
from functools import partial
from itertools import pairwise

import pytest
import torch

from tests.bench.speed_runs import from_json, subject
from tests.conftest import make_video
from tests.models import internvl_model, qwen2_5_vl_model
from tests.models.builders import llava_onevision, shared
from vidfold import AOT, Pooling, Random, models
from vidfold.app.memory import Peak, observed
from vidfold.bench.speed import Plan, Results, Subject, measure, overview, ways
from vidfold.bench.speed import run as speed_run
from vidfold.bench.speed.run import film, rotated
from vidfold.bench.speed.ways import parts, spaced
from vidfold.reducers import FastV

CPU = torch.device("cpu")
WAYS = ["unfolded", "folded", "oracle", "authors"]


@pytest.fixture(scope="module")
def run() -> Results:
    """The paper's AOT on three frames of two videos, on the grid of the authors' way."""
    return measure(Plan(AOT.paper(), frames=(3,), batches=(2,), new_tokens=3, minutes=5), subject(shared(depth=2)))


def test_all_stages_of_all_ways_are_measured(run):
    (case,) = run.cases
    assert [way.name for way in case.ways] == WAYS
    assert [sorted(way.milliseconds) for way in case.ways] == [
        ["prefill", "step", "tower"],
        ["fold", "prefill", "splice", "step", "tower"],
        ["prefill", "splice", "step"],
        ["fold", "prefill", "splice", "step", "tower"],
    ]
    for way in case.ways:
        assert {stage: len(times) for stage, times in way.milliseconds.items()} == {
            stage: 9 if stage in ("step", "tower") else 3 for stage in way.milliseconds
        }
        assert all(time > 0 for times in way.milliseconds.values() for time in times)
        assert way.milliseconds.keys() == way.memory.keys() == way.operations.keys()
        assert case.first_token(way).median > 0
    assert case.read_ms > 0


def test_tokens_and_cache(run):
    unfolded, folded, oracle, authors = run.cases[0].ways
    assert (run.cases[0].tokens, run.cases[0].text) == (588, 13)
    assert unfolded.tokens == (588, 588)
    assert folded.tokens == oracle.tokens == (59, 59)
    assert authors.tokens[0] > 10
    assert folded.cache_positions == oracle.cache_positions == 59 + 13
    assert folded.cache_bytes == 2 * (2 * 2 * 8 * 4) * 2 * (59 + 13)  # layers, heads and channels of keys and values


def test_json_round_trip(run):
    assert from_json(run.as_json()) == run
    assert "authors' way" in overview(run)
    assert run.provenance["threads"] == str(torch.get_num_threads())


@pytest.fixture
def events(monkeypatch):
    """What a run does, in its order: "memory" where it is observed, "time" for a sample, and ways that run."""
    seen = []

    def noting(module, name, told):
        original = getattr(module, name)

        def noted(*arguments, **settings):
            seen.append(told(*arguments))
            return original(*arguments, **settings)

        monkeypatch.setattr(module, name, noted)

    noting(ways, "observed", lambda *_: "memory")
    noting(ways, "timed", lambda *_: "time")
    noting(speed_run, "run", lambda *arguments: arguments[-1].name)
    return seen


def test_every_way_is_warmed_up_alike_before_any_sample_is_taken(events):
    measure(Plan(AOT.paper(), frames=(2,), new_tokens=1), subject(shared(depth=2)))
    before, after = events[: events.index("time")], events[events.index("time") :]
    assert [each for each in before if each in WAYS] == WAYS
    # Memory is returned to the system before no time sample.
    assert "memory" not in after


def test_ways_take_turns(events):
    measure(Plan(Random(), frames=(2,), new_tokens=1), subject(shared(side=12, depth=2)))
    order = [each for each in events if each in WAYS][3:]
    rounds = [order[first : first + 3] for first in (0, 3, 6)]
    assert [set(each) for each in rounds] == [set(WAYS[:3])] * 3
    assert len({each[0] for each in rounds}) == 3


def test_three_samples_at_least_without_time():
    plan = Plan(AOT.paper(), frames=(8,), runs=5, new_tokens=1, minutes=1e-6)
    run = measure(plan, subject(shared(side=12, depth=2)))
    (case,) = run.cases
    assert all(len(way.milliseconds["prefill"]) == 3 for way in case.ways)
    assert case.a_frame().count == case.added(case.way("folded")).count == 9  # three frames a turn
    told = " ".join(overview(run).split())
    assert "Samples of the vision tower (frames of a video at a time: 1): unfolded 9, aot-paper 10 % 9." in told


def test_authors_way_that_does_not_fit_into_the_time_is_left_out():
    run = measure(Plan(AOT(), frames=(2,), new_tokens=1, minutes=1e-6), subject(shared(depth=2)))
    (case,) = run.cases
    assert [way.name for way in case.ways] == WAYS[:3]
    told = " ".join(overview(run).split())
    assert "The authors' way is left out: three samples of every way take about" in told


def test_one_group_a_pass_is_repeated():
    (case,) = measure(Plan(Random(), frames=(1,), new_tokens=1, minutes=1e-6), subject(shared(side=12))).cases
    assert case.a_frame().count == 3


def test_methods_without_attention_have_no_saliency_cost():
    model = llava_onevision(depth=2)
    run = measure(Plan(AOT(), frames=(2,), new_tokens=1), subject(model))
    (case,) = run.cases
    assert not AOT().needs
    assert "tower" not in case.way("folded").milliseconds
    assert case.way("authors").tokens[0] > 10  # folds by attention in the same run
    assert "authors' way" in overview(run)
    # The model is as it was.
    assert not model._forward_pre_hooks
    assert model.base_model.vision_tower.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("reducer", "side"), [(Random(), 27), (AOT(), 12)])
def test_other_methods_and_grids_have_no_authors_way(reducer, side):
    other = measure(Plan(reducer, frames=(2,), new_tokens=1), subject(shared(side=side, depth=2)))
    assert [way.name for way in other.cases[0].ways] == WAYS[:3]


def test_embedded_model_on_a_video(tiny):
    results = measure(Plan(AOT(), frames=(4,), new_tokens=1), Subject.of(tiny))
    assert results.cases[0].tokens == 144
    assert not results.model["random_weights"]
    assert "generated clip of 2 s, 640 x 360" in results.video


def test_more_frames_than_the_video_has(tiny, tmp_path):
    film(tmp_path / "clip.mp4", 1)
    with pytest.raises(ValueError, match="frames must be at most 12, the number of frames in"):
        measure(Plan(AOT(), frames=(4, 40)), Subject.of(tiny), video=tmp_path / "clip.mp4")


def test_progress_says_what_is_expected(tiny):
    told: list[str] = []
    plan = Plan(AOT(), frames=(2, 8), runs=4, new_tokens=1, minutes=1e-6)
    measure(plan, Subject.of(tiny), tell=told.append)
    assert [line for line in told if "frames" in line] == [
        "2 frames, batch 1: warming up every way, about 0.0 minutes in all",
        "8 frames, batch 1: warming up every way, about 0.0 minutes in all",
    ]
    assert told[1].startswith("3 ways in 3 to 4 turns of about ")
    assert told[2:5] == [f"turn {turn} of 4 is done" for turn in (1, 2, 3)]


def test_groups_equal_one_call_of_the_tower():
    model = shared(depth=2)
    inputs, family, needs = subject(model).inputs(range(5), 2), models.family(model), AOT.paper().needs
    groups = parts(inputs, 5, 2, 2)
    assert [frames for frames, _ in groups] == [4, 4, 2]
    videos = zip(*(family.encode(part, needs) for _, part in groups), strict=True)
    for video, whole in zip(videos, family.encode(inputs, needs), strict=True):
        torch.testing.assert_close(torch.cat([part.features for part in video]), whole.features)
        torch.testing.assert_close(torch.cat([part.shallow for part in video]), whole.shallow)


def test_other_families_run_their_tower_at_once():
    model = qwen2_5_vl_model.build()
    qwen = dataclasses.replace(subject(model), inputs=lambda frames, _: qwen2_5_vl_model.inputs(model))
    run = measure(Plan(AOT.paper(retention=0.2), frames=(4,), new_tokens=2), qwen)
    (case,) = run.cases
    assert case.tokens == 2 * 24
    assert case.a_frame().count == 3
    assert [way.name for way in case.ways] == WAYS[:3]
    assert case.way("folded").tokens == (10,)
    assert case.way("unfolded").operations["tower"] > 0


def test_families_that_take_frames_for_pictures():
    model = internvl_model.build()
    intern = dataclasses.replace(subject(model), inputs=lambda frames, _: internvl_model.inputs(model))
    (case,) = measure(Plan(AOT(), frames=(2,), new_tokens=1), intern).cases
    assert case.a_frame().count == 3
    assert case.first_token(case.way("folded")).median > 0


def test_authors_way_that_does_not_fit_into_memory_is_left_out(monkeypatch):
    def greedy(*_):
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr("vidfold.bench.authors.encode", greedy)
    (case,) = measure(Plan(AOT(), frames=(2,), new_tokens=1), subject(shared(depth=2))).cases
    assert case.notes == ["The authors' way is left out: it does not fit into the memory of cpu."]
    assert [way.name for way in case.ways] == WAYS[:3]
    monkeypatch.setattr("vidfold.bench.speed.ways.spaced", greedy)
    with pytest.raises(torch.OutOfMemoryError):
        measure(Plan(AOT(), frames=(2,), new_tokens=1), subject(shared(depth=2)))


def test_oracle_keeps_side_features():
    video = dataclasses.replace(make_video(frames=2, pooling=Pooling.NONE), side=torch.randn(3, 2, 72, 5))
    reduction = spaced(video, 9)
    index = reduction.frames * 72 + reduction.cells
    assert torch.equal(reduction.side, video.side.flatten(1, 2)[:, index])


@pytest.mark.parametrize("count", [1, 5, 12, 36, 40])
def test_oracle_tokens_are_evenly_spaced(count):
    video = make_video(frames=3, grid=(6, 4))
    reduction = spaced(video, count)
    places = (reduction.frames * video.cells + reduction.cells).tolist()
    assert len(set(places)) == len(places) == min(count, 3 * video.cells)
    gaps = {after - before for before, after in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    torch.testing.assert_close(reduction.tokens, video.pooled()[reduction.frames, reduction.cells])


def test_rotation_balances_the_order():
    orders = [rotated(("a", "b", "c"), turn) for turn in range(6)]
    assert {order[0] for order in orders} == set("abc")
    assert len({pair for order in orders for pair in pairwise(order)}) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": (0,)}, "frames must be a whole number of at least 1, got 0"),
        ({"frames": ()}, "frames must hold at least one number"),
        ({"batches": (0,)}, "batches must be a whole number of at least 1, got 0"),
        ({"runs": 2}, "runs must be a whole number of at least 3, got 2"),
        ({"new_tokens": 0}, "new_tokens must be a whole number of at least 1, got 0"),
        ({"minutes": 0}, "minutes must be positive, got 0"),
        ({"minutes": float("nan")}, "minutes must be a finite number above 0, got nan"),
        ({"reducer": FastV()}, "fastv works inside the language model"),
    ],
)
def test_bad_plans(given, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"reducer": AOT(), **given})


def test_operations_equal_a_count_by_hand():
    model = shared(side=8, depth=3)
    inputs, family = subject(model).inputs(range(2), 1), models.family(model)
    config, text = model.config.vision_config, model.config.get_text_config()
    size, rows, out = config.hidden_size, (config.image_size // config.patch_size) ** 2, text.hidden_size
    layer = 2 * rows * (4 * size**2 + 2 * size * config.intermediate_size) + 4 * rows**2 * size
    first = 2 * rows * config.num_channels * config.patch_size**2 * size
    projector = 2 * rows * out * (size + out)
    _, _, operations = observed(partial(ways.towers(family, Random())["unfolded"], inputs), CPU)
    assert operations == 2 * (first + config.num_hidden_layers * layer + projector)


def test_operations_of_causal_attention_are_those_of_the_square():
    query = torch.randn(1, 4, 16, 8)
    attend = partial(torch.nn.functional.scaled_dot_product_attention, query, query, query, is_causal=True)
    with torch.no_grad():
        assert observed(attend, CPU)[2] == 2 * 2 * 4 * 16 * 16 * 8


def test_peak_memory():
    peak = Peak(CPU)
    assert torch.ones(20_000_000).sum().item() == 20_000_000
    assert 70e6 < peak.above() < 200e6 or "VmRSS" in peak.source


def test_peak_memory_of_a_gpu(monkeypatch):
    used = iter((100, 350))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: next(used))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(used))
    assert Peak(torch.device("cuda", 1)).above() == 250

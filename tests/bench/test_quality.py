import dataclasses
import itertools
import json
import sys
from typing import ClassVar

import numpy as np
import pytest

from lab.asking import prompts
from tests.bench.conftest import CLIPS, METHODS, RETENTIONS
from vidfold import models
from vidfold.bench import Scenes, Videos, quality, sources
from vidfold.bench.measuring import measure
from vidfold.bench.provenance import provenance
from vidfold.bench.quality import COLUMNS, MEASURED, plan
from vidfold.bench.records import read
from vidfold.bench.sources import EVERYDAY
from vidfold.reducers import METHODS as REGISTRY
from vidfold.reducers import Random
from vidfold.tiny import Question, questions, render, seeds
from vidfold.tiny.evaluate import FULL, Score, Setting
from vidfold.tiny.questions import KINDS
from vidfold.tokens import OPTIONAL
from vidfold.video import write

CELLS = 1 + len(METHODS) * len(RETENTIONS)
MODULE = sys.modules["vidfold.bench.quality"]


def settled(row: dict[str, str]) -> dict[str, str]:
    """A row without the columns that differ between runs."""
    return {name: value for name, value in row.items() if name not in ("seconds", "date", "fold_ms")}


@pytest.fixture
def counted(monkeypatch):
    """Records the setting of every measurement of a clip."""
    seen = []

    def counting(clip, setting, seed):
        seen.append(setting)
        return measure(clip, setting, seed)

    monkeypatch.setattr(MODULE, "measure", counting)
    return seen


def test_file_has_one_row_per_cell(bench):
    folder, rows = bench
    assert read(folder / "quality.csv") == rows
    assert len(rows) == CELLS
    assert all(tuple(row) == COLUMNS for row in rows)
    assert [(row["method"], row["asked"]) for row in rows[:3]] == [
        ("identity", "1"),
        ("random", "0.25"),
        ("aot-reference", "0.25"),
    ]
    assert all(row["status"] == MEASURED for row in rows)
    asked = {question.kind for seed in seeds(EVERYDAY, CLIPS) for question in questions(render(seed))}
    optional = {"outcomes", "settings"}
    for name in set(COLUMNS) - optional:
        missing = any(f"_{kind}" in name for kind in set(KINDS) - asked)
        assert all((row[name] == "") == missing for row in rows), name


def test_clip_files_have_one_row_per_clip(bench):
    folder, rows = bench
    for row in rows:
        clips = read(folder / row["outcomes"])
        assert [clip["clip"] for clip in clips] == [str(seed) for seed in seeds(EVERYDAY, CLIPS)]
        nqe = sum(float(clip["quantisation_error"]) for clip in clips) / CLIPS
        assert float(row["quantisation_error"]) == pytest.approx(nqe, rel=1e-5)
        asked = sum(int(clip[f"asked_{kind}"]) for clip in clips for kind in KINDS)
        assert asked == int(row["questions"]) == sum(len(questions(render(seed))) for seed in seeds(EVERYDAY, CLIPS))


def test_accuracy_equals_single_prompts(bench, tiny):
    settings = [FULL, *(Setting(name, share) for name in METHODS for share in RETENTIONS)]
    scores = score_plainly(tiny, settings)
    for row in bench[1]:
        score = scores[Setting(row["method"], float(row["asked"]))]
        for kind, share in zip(KINDS, score.accuracy, strict=True):
            assert float(row[f"accuracy_{kind}"] or "nan") == pytest.approx(share, rel=1e-6, nan_ok=True)
        assert float(row["accuracy_mean_se"]) == pytest.approx(score.mean()[1], rel=1e-6, abs=1e-9)
        assert float(row["retention"]) == pytest.approx(score.kept.mean(), rel=1e-6)
        assert float(row["difference_mean"]) == pytest.approx(score.gain(scores[FULL])[0], rel=1e-5, abs=1e-9)


def score_plainly(tiny, settings):
    """Every setting's score, from ``generate()`` with every question in its own chat."""
    counts = {setting: [] for setting in settings}
    for seed in seeds(EVERYDAY, CLIPS):
        clip = render(seed)
        kinds = np.array([KINDS.index(question.kind) for question in questions(clip)])
        inputs, truth = prompts(tiny.processor, clip)
        (tokens,) = models.encode(tiny.model, inputs, frozenset({"shallow", "deep"}))
        for setting in settings:
            reduction = setting.reducer(tokens, seed)(tokens)
            spliced = models.splice(tiny.model, inputs, [reduction] * len(truth))
            answers = tiny.model.generate(**spliced, max_new_tokens=1, do_sample=False)[:, -1]
            right, asked = (
                np.bincount(each, minlength=len(KINDS)) for each in (kinds[(answers == truth).numpy()], kinds)
            )
            counts[setting].append((right, asked, reduction.retention))
    return {setting: Score(*map(np.array, zip(*rows, strict=True))) for setting, rows in counts.items()}


def test_unfolded_baseline_is_perfect(bench):
    full = bench[1][0]
    assert float(full["divergence"]) == pytest.approx(0, abs=1e-6)
    assert full["top1"] == full["retention"] == full["coverage"] == "1"
    assert [full[f"difference_mean{end}"] for end in ("", "_low", "_high")] == ["0", "0", "0"]
    assert {row["unfolded_mean"] for row in bench[1]} == {full["accuracy_mean"]}


def test_measured_and_requested_retention(bench):
    for row in bench[1]:
        if row["method"] == "random":
            assert row["tokens_after"] == row["tokens_least"] == row["tokens_most"]
            assert int(row["tokens_after"]) == Random(float(row["asked"])).count(8, 36)
        if row["method"] == "aot-reference":
            assert int(row["tokens_least"]) <= float(row["tokens_after"]) <= int(row["tokens_most"])
            assert float(row["retention"]) == pytest.approx(float(row["tokens_after"]) / 288, rel=1e-5)
            assert json.loads(row["settings"])["anchors"] == round(126 / 729 / 0.1 * float(row["asked"]) * 144)


def test_second_run_measures_nothing(bench, tiny, counted, monkeypatch):
    folder, rows = bench
    before = (folder / "quality.csv").read_bytes()
    monkeypatch.setattr(MODULE._Bench, "prepare", None)  # not even encoding
    assert quality(METHODS, RETENTIONS, CLIPS, folder, models=[tiny]) == rows
    assert not counted
    assert (folder / "quality.csv").read_bytes() == before


def test_interrupted_run_resumes(bench, tiny, counted, tmp_path, monkeypatch):
    done = itertools.count()

    def stopping(clip, setting, seed):
        if next(done) == 2 * CLIPS + 1:  # in the middle of the third cell
            raise KeyboardInterrupt
        return measure(clip, setting, seed)

    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "measure", stopping)
        with pytest.raises(KeyboardInterrupt):
            quality(METHODS, RETENTIONS, CLIPS, tmp_path, models=[tiny])
    whole = read(tmp_path / "quality.csv")
    assert len(whole) == 2
    rows = quality(METHODS, RETENTIONS, CLIPS, tmp_path, models=[tiny])
    assert len(counted) == (CELLS - 2) * CLIPS
    assert [settled(row) for row in rows] == [settled(row) for row in bench[1]]
    assert rows[:2] == whole


def test_clips_seeds_and_weights_identify_cells(tmp_path, tiny, counted, monkeypatch):
    monkeypatch.setattr(MODULE, "weights_digest", lambda model: "ours")
    for clips, seed, weights in ((1, 0, "ours"), (2, 0, "ours"), (1, 1, "ours"), (1, 0, "others")):
        counted.clear()
        monkeypatch.setattr(MODULE, "weights_digest", lambda model, weights=weights: weights)
        quality(["random"], [0.1], clips, tmp_path, models=[tiny], seed=seed)
        assert len(counted) == 2 * clips
    assert len(read(tmp_path / "quality.csv")) == 8


def test_seed_changes_random_methods(tmp_path, tiny):
    first, again, other = (
        quality(["random"], [0.1], 2, tmp_path / name, models=[tiny], seed=seed)[1]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert settled(first) == settled(again)
    assert first["quantisation_error"] != other["quantisation_error"]


@dataclasses.dataclass(frozen=True)
class Headed(Random):
    """Needs a field that the embedded model does not give."""

    name = "headed"
    needs: ClassVar[frozenset[str]] = frozenset({"head_attention"})


@dataclasses.dataclass(frozen=True)
class Choosy(Random):
    """Fails on every second clip, and records the fields it gets."""

    name = "choosy"
    needs: ClassVar[frozenset[str]] = frozenset({"deep"})

    def reduce(self, tokens, *, weights):
        assert [name for name in OPTIONAL if getattr(tokens, name) is not None] == ["deep"]
        if self.seed % 2:
            raise ValueError(f"no fold, for seed {self.seed}")
        return super().reduce(tokens, weights=weights)


def test_failed_cells_say_why_and_are_tried_again(tmp_path, tiny, monkeypatch):
    for method in (Headed, Choosy):
        monkeypatch.setitem(REGISTRY, method.name, method)
    steps = []
    arguments = (["headed", "aot", "choosy"], [0.1], 2, tmp_path)
    rows = quality(*arguments, models=[tiny], watch=lambda *step: steps.append(step))
    assert [row["status"] for row in rows] == [
        MEASURED,
        "cannot run: llava_onevision cannot give VideoTokens.head_attention; beside the features it gives: deep, keys, "
        "shallow",
        MEASURED,
        "cannot run: no fold, for seed 1000000001",
    ]
    assert rows[1]["accuracy_mean"] == rows[3]["accuracy_mean"] == rows[3]["outcomes"] == ""
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (10, 10)
    monkeypatch.setattr(Choosy, "reduce", Random.reduce)
    rows = quality(*arguments, models=[tiny])
    assert [row["status"] == MEASURED for row in rows] == [True, False, True, True]
    assert len(read(tmp_path / "quality.csv")) == 4


def test_all_means_the_whole_registry():
    cells = plan(["all"], [0.25, 0.1])
    assert cells[0] == FULL
    assert {cell.method for cell in cells} == set(REGISTRY)
    assert len(cells) == len(set(cells)) == 1 + 2 * (len(REGISTRY) - 1)


def test_videos_without_true_answers(tmp_path, tiny):
    files = []
    for seed in seeds(EVERYDAY, 2):
        files.append(str(tmp_path / f"{seed}.mp4"))
        write(files[-1], render(seed).frames, fps=2, scale=2, hold=2)
    videos = Videos(tuple(files), "what is the first scene?", frames=8)
    rows = quality(["random"], [0.1], [videos, Scenes(1)], tmp_path / "out", models=[tiny])
    assert len(rows) == 4
    of_files, of_scenes = rows[:2], rows[2:]
    assert all(row["accuracy_mean"] == "" and row["questions"] == "2" for row in of_files)
    assert of_files[0]["top1"] == "1"
    assert float(of_files[1]["divergence"]) > 0
    assert all(row["accuracy_mean"] and row["accuracy_mean_se"] == "" for row in of_scenes)  # no error with one clip


def test_other_vocabulary_has_no_accuracy(tiny, monkeypatch):
    assert next(iter(Scenes(1).samples(tiny))).truth is not None
    monkeypatch.setattr(sources, "questions", lambda clip: (Question("scene", "what is the first scene?", "harbour"),))
    sample = next(iter(Scenes(1).samples(tiny)))
    assert sample.truth is None
    assert sample.kinds == ()


def test_scene_names_omit_defaults():
    assert Scenes(64).name == "scenes 0-63"
    scenes = Scenes(2, first=10, split="confirm", world="second", frames=16)
    assert scenes.name == "scenes 10-11 (confirm, second world, 16 frames)"
    assert Scenes(1, frames=2).name == "scenes 0-0 (2 frames)"


def test_scenes_of_the_second_world(tiny):
    (sample,) = Scenes(1, split="search", world="second", frames=3).samples(tiny)
    (seed,) = seeds("search", 1, world="second")
    asked = questions(render(seed, 3))
    assert (sample.name, sample.kinds) == (str(seed), tuple(question.kind for question in asked))
    assert sample.video["pixel_values_videos"].shape[1] == 3
    answers = [question.answer for question in asked]
    assert tiny.processor.tokenizer.convert_ids_to_tokens(sample.truth.tolist()) == answers


def test_provenance_columns_are_filled(tiny):
    facts = provenance(tiny.model)
    assert set(facts) <= set(COLUMNS)
    assert all(facts.values())


def test_bad_input_raises(tmp_path, tiny):
    cases = [
        ((["none"], [0.1], 1), "unknown method 'none'; there are: aot"),
        ((["aot"], [0.0], 1), r"retention must be in \(0, 1\], got 0.0"),
        ((["aot"], [], 1), r"methods and retentions must not be empty, got \['aot'\] and \[\]"),
        ((["aot"], [0.1], 0), "clips must be a whole number of at least 1, got 0"),
        ((["aot"], [0.1], 10_000_000), "split 'search' has 1000000 seeds"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            quality(*arguments, tmp_path, models=[tiny])
    with pytest.raises(ValueError, match=r"'nowhere.mp4' is not a file"):
        Videos(("nowhere.mp4",))
    with pytest.raises(ValueError, match="frames must be a whole number of at least 1, got 0"):
        Scenes(1, frames=0)
    with pytest.raises(ValueError, match="seed 0 is in the train split"):
        Scenes(1, split="train")
    with pytest.raises(ValueError, match="world must be one of first, second; got 'third'"):
        Scenes(1, world="third")
    with pytest.raises(ValueError, match="question must not be empty"):
        Videos((__file__,), " ")
    assert not (tmp_path / "quality.csv").exists()

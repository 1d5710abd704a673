"""The runner: one row per cell, every clip saved at once, and what makes results stale."""

import dataclasses
import itertools
import json
from typing import ClassVar

import numpy as np
import pytest

from lab.asking import prompts
from tests.bench import invented
from tests.bench.conftest import CLIPS, METHODS, RETENTIONS
from vidfold import models
from vidfold.app.writing import read_csv
from vidfold.bench import run as running
from vidfold.bench import settings as settings_of_bench
from vidfold.bench.clips import Scenes, Videos
from vidfold.bench.quality import quality_plan, settings, suite_plan
from vidfold.bench.results import MEASURED
from vidfold.bench.run import COLUMNS, run
from vidfold.bench.scores import accuracy, answered
from vidfold.bench.settings import FULL, Setting
from vidfold.reducers import METHODS as REGISTRY
from vidfold.reducers import Random
from vidfold.tiny import questions, render
from vidfold.tiny.questions import KINDS
from vidfold.video import write

SEARCH = Scenes(CLIPS, split="search")


def settled(row: dict[str, str]) -> dict[str, str]:
    """A row without the columns that differ between runs."""
    return {name: value for name, value in row.items() if name not in ("date", "fold_ms")}


@pytest.fixture
def counted(monkeypatch):
    """Clip and methods of every measurement."""
    seen, plain = [], running.measure

    def counting(sample, tokens, chosen, measures, seed):
        seen.append((sample.name, [each.method for each in chosen]))
        return plain(sample, tokens, chosen, measures, seed)

    monkeypatch.setattr(running, "measure", counting)
    return seen


def small_suite(twins, methods=("random",), clips=2):
    return suite_plan("search", methods, [0.25], clips, (4,), models=twins)


def test_file_has_one_row_per_cell(bench):
    folder, results = bench
    assert read_csv(folder / "quality.csv") == (COLUMNS, results.rows)
    assert len(results.rows) == 1 + len(METHODS) * len(RETENTIONS)
    assert [(row["method"], row["asked"]) for row in results.rows[:3]] == [
        ("identity", "1"),
        ("random", "0.25"),
        ("aot-reference", "0.25"),
    ]
    assert {row["status"] for row in results.rows} == {MEASURED}
    asked = {question.kind for clip in SEARCH.clips for question in questions(render(int(clip)))}
    missing = {name for name in COLUMNS if any(f"_{kind}" in name for kind in set(KINDS) - asked)}
    folded = [row for row in results.rows if row["method"] in ("random", "aot-reference")]
    for name in set(COLUMNS) - {"suite"}:
        if not name.endswith(("_low", "_high", "_se")):  # errors need several clips with the kind
            assert all((row[name] == "") == (name in missing) for row in folded), name


def test_values_of_every_clip_are_kept(bench):
    folder, results = bench
    for cell in results.cells.values():
        name, label = cell.row["outcomes"].split(":")
        with np.load(folder / name) as file:
            assert tuple(file["clips"].tolist()) == SEARCH.clips
            place = file["labels"].tolist().index(label)
            found = {each: file[each][place] for each in file.files if each not in ("labels", "clips")}
        right, asked = (np.stack([found[f"{each}_{kind}"] for kind in KINDS], 1) for each in ("right", "asked"))
        assert accuracy(invented.counts(right, asked)).value == pytest.approx(float(cell.row["accuracy_mean"]))
        assert asked.sum() == float(cell.row["questions"])
        assert float(cell.row["top1"]) == pytest.approx(found["top1"].mean())
        if cell.row["method"] != "fastv":
            assert float(cell.row["quantisation_error"]) == pytest.approx(found["quantisation_error"].mean(), rel=1e-5)


def test_accuracy_equals_single_prompts(bench, small):
    """Every question in its own chat, answered by ``generate()``."""
    chosen = [FULL, *(Setting(name, share) for name in METHODS[:2] for share in RETENTIONS)]
    counts = {setting: [] for setting in chosen}
    for seed in map(int, SEARCH.clips):
        clip = render(seed)
        kinds = np.array([KINDS.index(question.kind) for question in questions(clip)])
        inputs, truth = prompts(small.processor, clip)
        (tokens,) = models.encode(small.model, inputs, frozenset({"shallow", "deep"}))
        for setting in chosen:
            reduction = setting.reducer(tokens, seed)(tokens)
            spliced = models.splice(small.model, inputs, [reduction] * len(truth))
            answers = small.model.generate(**spliced, max_new_tokens=1, do_sample=False)[:, -1]
            chosen_kinds = kinds[(answers == truth).numpy()], kinds
            right, asked = (np.bincount(each, minlength=len(KINDS)) for each in chosen_kinds)
            counts[setting].append((right, asked, reduction.retention))
    results = bench[1]
    full = accuracy(invented.counts(*map(np.array, list(zip(*counts[FULL], strict=True))[:2])))
    for (_, setting), cell in results.cells.items():
        if setting in counts:
            right, asked, kept = map(np.array, zip(*counts[setting], strict=True))
            score = invented.counts(right, asked)
            for name, values in score.items():
                np.testing.assert_array_equal(cell.values[name], values)
            assert float(cell.row["accuracy_mean_se"]) == pytest.approx(accuracy(score).error, rel=1e-6)
            assert float(cell.row["retention"]) == pytest.approx(kept.mean(), rel=1e-6)
            gap = float(cell.row["difference_mean"])
            assert gap == pytest.approx((accuracy(score) - full).value, rel=1e-5, abs=1e-9)


def test_all_tokens_agree_with_themselves(bench):
    full = bench[1].rows[0]
    assert float(full["divergence"]) == pytest.approx(0, abs=1e-6)
    assert full["top1"] == full["retention"] == full["coverage"] == "1"
    assert (full["difference_mean"], full["difference_mean_low"]) == ("0", "")
    assert {row["unfolded_mean"] for row in bench[1].rows} == {full["accuracy_mean"]}


def test_measured_and_requested_retention(bench):
    for row in bench[1].rows:
        if row["method"] == "random":
            assert row["tokens_after"] == row["tokens_least"] == row["tokens_most"]
            assert int(row["tokens_after"]) == Random(float(row["asked"])).count(8, 36)
        if row["method"] == "aot-reference":
            assert int(row["tokens_least"]) <= float(row["tokens_after"]) <= int(row["tokens_most"])
            assert float(row["retention"]) == pytest.approx(float(row["tokens_after"]) / 288, rel=1e-5)
            assert json.loads(row["settings"])["anchors"] == round(126 / 729 / 0.1 * float(row["asked"]) * 144)


def test_methods_inside_the_model_have_answers_and_agreement_only(bench):
    *_, tenth = bench[1].rows
    assert (tenth["method"], tenth["tokens_after"], tenth["retention"]) == ("fastv", "288", "1")
    assert float(tenth["layer_retention"]) == pytest.approx((2 * 288 + 29) / (3 * 288), rel=1e-5)
    assert float(tenth["divergence"]) > 1e-6
    assert tenth["quantisation_error"] == tenth["coverage_se"] == tenth["transport"] == tenth["fold_ms"] == ""


def test_second_run_measures_nothing(bench, counted):
    folder, results = bench
    before = (folder / "quality.csv").read_bytes()
    assert run(results.plan, folder).rows == results.rows
    assert not counted
    assert (folder / "quality.csv").read_bytes() == before


def test_interrupted_run_loses_one_clip_at_most(suite, counted, tmp_path, monkeypatch):
    results = suite[1]
    done, counting = itertools.count(), running.measure

    def stopping(*given):
        if next(done) == 4:  # the second clip of the second bench
            raise KeyboardInterrupt
        return counting(*given)

    with monkeypatch.context() as patch:
        patch.setattr(running, "measure", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(results.plan, tmp_path)
    assert len(counted) == 4
    assert len(read_csv(tmp_path / "suite.csv")[1]) == 3
    seen = []
    again = run(results.plan, tmp_path, watch=lambda *step: seen.append(step))
    assert len(counted) == 12
    assert seen == [(done, 9) for done in range(1, 10)]
    assert [settled(row) for row in again.rows] == [settled(row) for row in results.rows]


def test_only_missing_settings_are_measured(twins, counted, tmp_path):
    first = run(small_suite(twins), tmp_path)
    counted.clear()
    second = run(small_suite(twins, ("random", "average")), tmp_path)
    assert [methods for _, methods in counted] == [["average"]] * 4
    assert [row for row in second.rows if row["method"] != "average"] == first.rows


def test_rows_without_their_clips_are_measured_again(twins, tmp_path):
    first = run(small_suite(twins), tmp_path)
    for path in (tmp_path / "clips").iterdir():
        path.unlink()
    second = run(small_suite(twins), tmp_path)
    assert [settled(row) for row in second.rows] == [settled(row) for row in first.rows]


def test_stale_rows_are_named_and_measured_again(twins, counted, tmp_path, monkeypatch):
    told = []
    first = run(small_suite(twins, ("random", "average")), tmp_path, tell=told.append)
    counted.clear()
    plain = settings_of_bench.code_of
    changed = lambda module: "other" if module == Random.__module__ else plain(module)  # noqa: E731
    assert REGISTRY["average"].__module__ == Random.__module__, "the methods share a file"
    monkeypatch.setattr(settings_of_bench, "code_of", changed)
    second = run(small_suite(twins, ("random", "average", "visionzip")), tmp_path, tell=told.append)
    assert told == [
        "stale, measured again: identity at 100 %; random at 25 %; average at 25 % (the code of the method has changed)"
    ]
    assert [methods for _, methods in counted] == [["identity", "random", "average", "visionzip"]] * 4
    assert {row["method_code"] for row in second.rows if row["method"] != "visionzip"} == {"other"}
    assert len(read_csv(tmp_path / "suite.csv")[1]) == 8, "no row of the old code is left"
    for path in (tmp_path / "clips").iterdir():
        with np.load(path) as file:
            assert len(file["labels"]) == 4
    assert first.rows[1]["accuracy_mean"] == second.rows[1]["accuracy_mean"]


def test_clips_seed_and_weights_identify_cells(small, tmp_path, monkeypatch):
    chosen = settings(["random"], [0.1])
    values = set()
    for clips, seed, weights in ((1, 0, "ours"), (2, 0, "ours"), (1, 1, "ours"), (1, 0, "others"), (1, 0, "ours")):
        monkeypatch.setattr(running, "weights_digest", lambda model, weights=weights: weights)
        plan = quality_plan(chosen, [Scenes(clips, split="search", frames=(4,))], [small], seed=seed)
        values.add((clips, seed, run(plan, tmp_path).rows[1]["quantisation_error"]))
    assert len(read_csv(tmp_path / "quality.csv")[1]) == 8
    assert len(values) == 3
    assert len({value for clips, _, value in values if clips == 1}) == 2, "another seed draws other tokens"


@dataclasses.dataclass(frozen=True)
class Headed(Random):
    """Needs a field that the embedded model does not give."""

    name = "headed"
    needs: ClassVar[frozenset[str]] = frozenset({"head_attention"})


@dataclasses.dataclass(frozen=True)
class Choosy(Random):
    """Fails on every second clip."""

    name = "choosy"

    def reduce(self, tokens, *, weights):
        if self.seed % 2:
            raise ValueError(f"no fold, for seed {self.seed}")
        return super().reduce(tokens, weights=weights)


def test_failed_cells_say_why_and_are_tried_again(small, tmp_path, monkeypatch):
    for method in (Headed, Choosy):
        monkeypatch.setitem(REGISTRY, method.name, method)
    scenes = Scenes(2, split="search", frames=(4,))
    plan = quality_plan(settings(["headed", "average", "choosy"], [0.1]), [scenes], [small])
    results = run(plan, tmp_path)
    assert [row["status"] for row in results.rows] == [
        MEASURED,
        "cannot run: llava_onevision cannot give VideoTokens.head_attention; beside the features it gives: deep, keys, "
        "shallow",
        MEASURED,
        "cannot run on 1 of 2 clips: no fold, for seed 1000000001",
    ]
    assert results.rows[1]["accuracy_mean"] == results.rows[3]["accuracy_mean"] == results.rows[3]["outcomes"] == ""
    assert [answered(cell.values) for cell in results.cells.values()] == [True, False, True, False]
    monkeypatch.setattr(Choosy, "reduce", Random.reduce)
    rows = run(plan, tmp_path).rows
    assert [row["status"] == MEASURED for row in rows] == [True, False, True, True]
    assert len(read_csv(tmp_path / "quality.csv")[1]) == 4


def test_failing_measure_is_told_for_its_fold(small, tmp_path):
    def choosy(sample, tokens, folds):
        if any(fold.setting.method == "average" for fold in folds):
            raise ValueError("no average")
        return [{"own": 1.0} for _ in folds]

    plan = quality_plan(settings(["random", "average"], [0.1]), [Scenes(1, split="search", frames=(4,))], [small])
    rows = run(dataclasses.replace(plan, measures=(choosy,)), tmp_path).rows
    assert [row["status"] for row in rows] == [MEASURED, MEASURED, "cannot run: no average"]
    (archive,) = (tmp_path / "clips").iterdir()
    assert np.load(archive)["own"].tolist() == [[1.0], [1.0]]


def test_videos_without_true_answers(tmp_path, small):
    files = []
    for seed in map(int, SEARCH.clips[:2]):
        files.append(str(tmp_path / f"{seed}.mp4"))
        write(files[-1], render(seed).frames, fps=2, scale=2, hold=2)
    sources = [Videos(tuple(files), "what is the first scene?", frames=4), Scenes(1, split="search", frames=(4,))]
    rows = run(quality_plan(settings(["random"], [0.1]), sources, [small]), tmp_path / "out").rows
    assert [row["questions"] for row in rows[:2]] == ["2", "2"]
    assert all(row["accuracy_mean"] == row["difference_mean"] == "" for row in rows[:2])
    assert rows[0]["top1"] == "1"
    assert float(rows[1]["divergence"]) > 0
    assert all(row["accuracy_mean"] and row["accuracy_mean_se"] == "" for row in rows[2:])  # no error with one clip


def test_folders_that_cannot_be_used_are_named(small, tmp_path, monkeypatch):
    plan = quality_plan(settings(["random"], [0.1]), [Scenes(1, split="search", frames=(4,))], [small])
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write to '.*file': "):
        run(plan, tmp_path / "file")
    (tmp_path / "quality.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"quality\.csv' has other columns than this version writes"):
        run(plan, tmp_path)
    (tmp_path / "quality.csv").write_text(",".join(COLUMNS) + "\n1,2\n")
    with pytest.raises(ValueError, match=r"quality\.csv' has rows that are longer or shorter"):
        run(plan, tmp_path)

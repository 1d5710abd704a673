"""Methods inside the language model are measured by what the model says."""

import pytest

from vidfold import fold, models
from vidfold.bench import Reference, Scenes, quality
from vidfold.bench.pictures import draw
from vidfold.reducers import METHODS
from vidfold.reducers.fastv import FastV


@pytest.fixture(scope="module")
def rows(tmp_path_factory, tiny):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, FastV.name, FastV)
        return quality([FastV.name], [1.0, 0.1], 2, tmp_path_factory.mktemp("inner"), models=[tiny])


def test_keeping_everything_changes_nothing(rows):
    _, everything, _ = rows
    assert float(everything["divergence"]) == pytest.approx(0, abs=1e-6)
    assert everything["top1"] == everything["layer_retention"] == "1"
    assert everything["accuracy_mean"] == everything["unfolded_mean"]


def test_kept_tokens_are_those_of_the_layers(rows):
    *_, tenth = rows
    assert tenth["tokens_after"] == "288"
    assert tenth["retention"] == "1"
    assert float(tenth["layer_retention"]) == pytest.approx((2 * 288 + 2 * 29) / (4 * 288), rel=1e-5)
    assert float(tenth["divergence"]) > 1e-6


def test_what_stands_before_the_language_model_is_not_measured(rows):
    for row in rows[1:]:
        assert row["quantisation_error"] == row["coverage_se"] == row["transport"] == row["fold_ms"] == ""


def test_without_times_there_is_no_picture_of_them(rows, tmp_path):
    assert [file.name for file in draw(rows, tmp_path)] == ["quality-retention.svg", "quality-retention.png"]


def test_first_words_are_those_that_generate_finds(tiny):
    (sample,) = Scenes(1).samples(tiny)
    (tokens,) = models.encode(tiny.model, sample.video)
    reference = Reference.of(tiny.model, sample.prompts, tokens)
    scores, share = reference.folded_inside(FastV(0.1), sample.video)
    assert share == pytest.approx((2 * 288 + 2 * 29) / (4 * 288))
    with fold(tiny.model, FastV(0.1)):
        output = tiny.model.generate(**sample.video, max_new_tokens=1, do_sample=False)
    assert output[0, -1] == reference.answers(scores)[0]

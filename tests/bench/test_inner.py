"""Methods inside the language model: answers and agreement only."""

import pytest

from vidfold import fold, models
from vidfold.bench import Reference, Scenes, quality
from vidfold.bench.pictures import draw
from vidfold.reducers import METHODS
from vidfold.reducers.inner import FastV


@pytest.fixture(scope="module")
def rows(tmp_path_factory, tiny):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, FastV.name, FastV)
        return quality([FastV.name], [1.0, 0.1], 2, tmp_path_factory.mktemp("inner"), models=[tiny])


def test_retention_one_equals_unfolded(rows):
    _, everything, _ = rows
    assert float(everything["divergence"]) == pytest.approx(0, abs=1e-6)
    assert everything["top1"] == everything["layer_retention"] == "1"
    assert everything["accuracy_mean"] == everything["unfolded_mean"]


def test_kept_share_is_averaged_over_layers(rows):
    *_, tenth = rows
    assert tenth["tokens_after"] == "288"
    assert tenth["retention"] == "1"
    assert float(tenth["layer_retention"]) == pytest.approx((2 * 288 + 2 * 29) / (4 * 288), rel=1e-5)
    assert float(tenth["divergence"]) > 1e-6


def test_feature_measures_and_fold_time_are_empty(rows):
    for row in rows[1:]:
        assert row["quantisation_error"] == row["coverage_se"] == row["transport"] == row["fold_ms"] == ""


def test_no_time_picture_without_times(rows, tmp_path):
    assert [file.name for file in draw(rows, tmp_path)] == ["quality-retention.svg", "quality-retention.png"]


def test_first_tokens_equal_generate(tiny):
    (sample,) = Scenes(1).samples(tiny)
    (tokens,) = models.encode(tiny.model, sample.video)
    reference = Reference.of(tiny.model, sample.prompts, tokens)
    scores, share = reference.folded_inside(FastV(0.1), sample.video)
    assert share == pytest.approx((2 * 288 + 2 * 29) / (4 * 288))
    with fold(tiny.model, FastV(0.1)):
        output = tiny.model.generate(**sample.video, max_new_tokens=1, do_sample=False)
    assert output[0, -1] == reference.answers(scores)[0]

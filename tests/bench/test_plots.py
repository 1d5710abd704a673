"""Pictures."""

import dataclasses
import sys

import pytest
from PIL import Image

from tests.bench import invented
from vidfold.bench import plots
from vidfold.bench.plots import distinct, over_retention, over_retention_by_bench, over_time
from vidfold.bench.results import Results

NAMES = ["quality-retention.png", "quality-retention.svg", "quality-time.png", "quality-time.svg"]


@pytest.fixture(scope="module")
def made():
    return invented.results(invented.plan(clips=8))


@pytest.fixture(scope="module")
def alone(made):
    """The same results of one bench."""
    return Results(dataclasses.replace(made.plan, suite="", benches=made.plan.benches[:1]), made.cells)


def rows(results):
    return [results.cells[results.plan.benches[0], each].row for each in results.plan.settings]


def test_pictures_are_drawn_and_the_same_numbers_give_the_same(alone, tmp_path, monkeypatch):
    files = plots.draw(alone, tmp_path / "new")
    monkeypatch.setattr(plots, "FORMATS", ("svg",))
    again = {file.name: file for file in plots.draw(alone, tmp_path / "other")}
    assert sorted(file.name for file in files) == NAMES
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                assert min(picture.size) > 300
                assert len(picture.convert("L").getcolors()) > 20
        else:
            assert file.read_text().startswith("<?xml")
            assert file.read_bytes() == again[file.name].read_bytes()


def test_every_method_has_a_panel(alone):
    figure = over_retention(rows(alone))
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["aot", "average", "random"]
    assert len({axes.get_ylim() for axes in shown}) == len({axes.get_xlim() for axes in shown}) == 1


def test_one_panel_per_retention_on_one_axis_and_one_of_times(alone):
    figure = over_time(rows(alone))
    *qualities, times = figure.axes
    assert [axes.get_title() for axes in qualities] == [
        f"right answers, %, at {share} % of the tokens" for share in (10, 50)
    ]
    assert times.get_title() == "milliseconds per fold, median; hollow: 50 %"
    assert len({axes.get_xlim() for axes in qualities}) == 1
    assert sorted(label.get_text() for label in figure.axes[0].get_yticklabels()) == ["aot", "average", "random"]


def test_a_method_without_a_time_of_its_own_is_shown(alone):
    own = [row | {"fold_ms": ""} if row["method"] == "random" else row for row in rows(alone)]
    assert "random" in [label.get_text() for label in over_time(own).axes[0].get_yticklabels()]


def test_agreement_is_drawn_without_true_answers(alone):
    plain = [{name: "" if "accuracy" in name else text for name, text in row.items()} for row in rows(alone)]
    figure = over_time([row | {"top1": "0.5"} for row in plain])
    assert figure.axes[0].get_title().startswith("same most likely token as unfolded, %, at ")


def test_no_time_picture_without_times_and_none_without_methods(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "FORMATS", ("svg",))
    timeless = {key: dataclasses.replace(cell, row=cell.row | {"fold_ms": ""}) for key, cell in alone.cells.items()}
    files = plots.draw(Results(alone.plan, timeless), tmp_path)
    assert [file.name for file in files] == ["quality-retention.svg"]
    nothing = invented.refused(invented.refused(alone, "aot", "no"), "average", "no")
    assert plots.draw(invented.refused(nothing, "random", "no"), tmp_path) == []


def test_separate_pictures_per_bench(made, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "FORMATS", ("svg",))
    pairs = Results(dataclasses.replace(made.plan, suite="", benches=made.plan.benches[:2]), made.cells)
    names = {file.name for file in plots.draw(pairs, tmp_path)}
    assert len(names) == 4
    assert any("second-world" in name for name in names)


def test_suite_has_a_panel_per_method(made, tmp_path):
    figure = over_retention_by_bench(made)
    assert [axes.get_title() for axes in figure.axes] == ["aot", "average", "random"]
    (legend,) = figure.legends
    benches = [f"model {model}, {world} world" for world in ("first", "second") for model in ("tiny", "tiny-whole")]
    assert [text.get_text() for text in legend.get_texts()] == [*benches, "aot, in every panel"]
    assert [file.name for file in plots.draw(made, tmp_path)] == ["suite-retention.svg", "suite-retention.png"]


def test_styles_are_unique():
    assert (
        len({tuple(style.values()) for style in distinct([f"method {number}" for number in range(20)]).values()}) == 20
    )


def test_missing_matplotlib_names_the_extra(alone, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib is not installed: pip install .*'matplotlib>"):
        plots.draw(alone, tmp_path)

import dataclasses

import numpy as np
import pytest

from tests.bench.suites.invented import results
from vidfold.bench.suites import Plan, drawing
from vidfold.bench.suites.plan import UNFOLDED
from vidfold.bench.suites.report import markdown, overview
from vidfold.bench.suites.statistics import mean_accuracy
from vidfold.bench.suites.views import signs, views

PLAN = Plan.of("final", ["aot", "average", "random"], [0.5, 0.1], clips=60)


@pytest.fixture(scope="module")
def invented():
    return results(PLAN, kept=0.7)


def table(text: str, title: str, number: int) -> dict[str, list[str]]:
    """Rows of one table of a section, by method."""
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [part for part in section.split("\n\n") if part.startswith("| method")][number].splitlines()
    rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return {name: cells for name, *cells in rows}


def test_tables_for_every_model_and_world(invented):
    text = markdown(invented)
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    cases = [f"Model {model}, {world} world" for model in ("varied", "whole") for world in ("first", "second")]
    assert titles == ["Both models, both worlds", *cases]
    for title in titles:
        rows = table(text, title, 0)
        assert rows["method"] == ["50 %", "10 %"]
        assert [name for name in rows if name.isalpha()] == ["method", "aot", "average", "random"]
        assert "aot" not in table(text, title, 1)
        assert table(text, title, 2)["method"][0] == "scene"


def test_numbers_equal_the_scores(invented):
    case = PLAN.cases()[0]
    one, other = (mean_accuracy(invented.scores[case][method, 0.1]) for method in ("aot", "average"))
    rows = table(markdown(invented), "Model varied, first world", 0)
    assert rows["aot"][1] == f"{100 * one.value:.1f} ± {100 * one.error:.1f}"
    assert rows["average"][1] == f"{100 * other.value:.1f} ± {100 * other.error:.1f} ▼"
    gap = other - one
    rows = table(markdown(invented), "Model varied, first world", 1)
    assert rows["average"][1] == f"{100 * gap.value:+.1f} ± {100 * gap.error:.1f} ▼"


def test_rows_at_another_cost_are_marked(invented):
    text = markdown(invented)
    rows = table(text, "Both models, both worlds", 0)
    assert rows["random"][1].endswith("▼ (7 % kept)\\*")
    assert "kept" not in rows["average"][1]
    assert "not at the same cost" in text
    assert "not at the same cost" in overview(invented)
    assert "not at the same cost" not in markdown(results(PLAN))


def test_equal_methods_get_no_signs():
    text = markdown(results(PLAN, lead=0.0))
    assert all("▲" not in line and "▼" not in line for line in text.splitlines() if line.startswith("|"))


def test_better_methods_are_marked():
    rows = table(markdown(results(PLAN, lead=-0.02)), "Both models, both worlds", 0)
    assert rows["average"][1].endswith("▲")


def test_false_signs_are_rare_in_a_family():
    """Over many families of methods that differ only by chance, at most one in twenty may have a sign."""
    plan = dataclasses.replace(PLAN, clips=40, suite=PLAN.suite)
    found = 0
    for seed in range(60):
        drawn = results(plan, lead=0.0)
        rng = np.random.default_rng(seed)
        for case, scores in drawn.scores.items():
            for cell, score in scores.items():
                if cell != UNFOLDED:
                    scores[cell] = dataclasses.replace(score, right=rng.binomial(score.asked, 0.8))
            assert case in plan.cases()
        together, _ = views(drawn)
        found += any(signs([together], [cell for cell in plan.cells() if cell != UNFOLDED]).values())
    assert found <= 9, "three in sixty are expected"


def test_pooling_counts_a_clip_of_both_models_once(invented):
    """Two models with equal answers give the same error as one."""
    cases = PLAN.cases()
    alike = dict(invented.scores)
    for one, other in ((cases[0], cases[2]), (cases[1], cases[3])):
        alike[other] = alike[one]
    together, alone = views(dataclasses.replace(invented, scores=alike))
    cell = ("aot", 0.1)
    errors = [view.estimate(cell).error for view in alone[:2]]
    assert together.estimate(cell).error == pytest.approx(np.hypot(*errors) / 2)


def test_one_method_has_no_comparisons():
    text = markdown(results(Plan.of("search", ["random"], [0.5], clips=5)))
    assert "Paired" not in text
    assert "both worlds" not in text
    assert "▲" not in text


def test_warning_about_different_code(invented):
    rows = [row | {"code": str(number % 2)} for number, row in enumerate(invented.rows)]
    assert "measured with 2 versions of vidfold's code" in markdown(dataclasses.replace(invented, rows=rows))


def test_picture_has_a_panel_per_model_and_world(invented):
    figure = drawing.over_retention(invented)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"model {model}, {world} world" for world in ("first", "second") for model in ("varied", "whole")]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["aot", "average", "random"]


def test_styles_are_unique():
    names = [f"method {number}" for number in range(20)]
    looks = drawing.style(names)
    assert len(set(looks.values())) == 20

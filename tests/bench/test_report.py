"""Tables of a quality bench."""

import dataclasses

import pytest

from tests.bench import invented
from vidfold.bench.report import overview, page
from vidfold.bench.results import Cell, Results
from vidfold.tiny.questions import KINDS


@pytest.fixture(scope="module")
def made():
    """Three methods on 40 clips of one model and world."""
    plan = invented.plan("search")
    return invented.results(dataclasses.replace(plan, suite="", benches=plan.benches[:1]))


def with_rows(results, **changes):
    return Results(results.plan, {key: Cell(cell.row | changes, {}) for key, cell in results.cells.items()})


def test_tables_by_retention_best_first(made, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    half, tenth = overview(made).split(
        "\n\ntiny, scenes 0-39 (search, 8, 16 and 32 frames), 10 % of the tokens requested\n\n"
    )
    assert half.startswith("tiny, scenes 0-39 (search, 8, 16 and 32 frames), 50 % of the tokens requested\n")
    methods = [line.split("  ")[0] for line in tenth.split("\n\n")[0].splitlines()]
    assert methods == ["method", "all tokens", "aot", "average", "random"]


def test_overview_has_one_line_per_row_and_says_what_is_wrong(made, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    text = overview(invented.refused(made, "average", "cannot run: too hard"))
    assert text.count("all tokens  ") == text.count("random  ") == 2
    assert text.count(", tiny, scenes 0-39 (search, 8, 16 and 32 frames): cannot run: too hard") == 2
    assert "AOT's settings were chosen on them" in text


def test_differences_to_all_tokens_are_tested(made):
    lines = page(made).splitlines()
    full, random = ([line for line in lines if line.startswith(f"| {name} |")] for name in ("all tokens", "random"))
    assert "▼" in random[0].split("|")[5]
    assert random[1].count("▼") > 1
    assert not any("▼" in line for line in full)


def test_markdown_tables_are_well_formed(made):
    lines = page(made).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 4 * (2 + 4)
    assert {line.count("|") for line in tables} == {12, 2 + len(KINDS)}
    assert any(line.startswith("Measured with vidfold ") for line in lines)
    assert "| all tokens | 288 | 100.0 % |" in tables[2]


def test_no_accuracy_without_true_answers(made):
    cells = {
        key: Cell(
            {name: "" if "accuracy" in name or "difference" in name else text for name, text in cell.row.items()}, {}
        )
        for key, cell in with_rows(made, top1="0.5").cells.items()
    }
    text = page(Results(made.plan, cells))
    assert "kind of question" not in text.split("accuracy:")[0]
    assert "| - | - |" in text


def test_warning_about_different_code(made):
    assert "Caution" not in overview(made)
    cells = dict(made.cells)
    first = next(iter(cells))
    cells[first] = Cell(cells[first].row | {"code": "older"}, cells[first].values)
    for text in (overview(Results(made.plan, cells)), page(Results(made.plan, cells))):
        assert "Caution: these rows were measured with 2 versions of vidfold (c, older)" in text


def test_few_clips_are_told():
    for clips, note in ((1, "One clip: no error can be told"), (3, "3 clips: errors are rough"), (6, "")):
        plan = invented.plan("search", clips=clips)
        text = overview(invented.results(dataclasses.replace(plan, suite="", benches=plan.benches[:1])))
        assert note in text
        assert ("clips: errors" in text or "One clip" in text) == bool(note)
        assert ("±" in text) == (clips > 1)


def test_methods_that_keep_too_much_are_marked(made, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert "%*" not in overview(made)
    text = overview(invented.results(made.plan, kept=1.2))
    assert text.count("%*") == 2
    assert "* keeps more or fewer tokens than requested" in text

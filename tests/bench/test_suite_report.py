"""Tables of a suite: significant differences, equivalence, kinds of question."""

import numpy as np
import pytest

from tests.bench import invented
from vidfold.bench.report import overview, page
from vidfold.bench.results import Cell, Results
from vidfold.bench.settings import FULL, Setting
from vidfold.tiny.questions import KINDS


@pytest.fixture(scope="module")
def made():
    return invented.results(invented.plan())


@pytest.fixture(scope="module")
def shown(made):
    return page(made)


def section(text, title):
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_page_has_all_views_and_tables(shown):
    text = shown
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    models = [f"Model {model}, {world} world" for model in ("tiny", "tiny-whole") for world in ("first", "second")]
    assert titles == ["Both models, both worlds", *models]
    for title in titles:
        part = section(text, title)
        for table in (
            "Right answers, in %, with marks against aot:",
            "Paired differences to aot, in points:",
            "Paired differences to all tokens, in points:",
            "By kind of question, with 10 % of the tokens, in %, with marks against aot:",
            "By kind of question, with 10 % of the tokens, paired differences to all tokens, in points:",
        ):
            assert part.count(table) == 1
    assert text.startswith(
        "# Suite confirm\n\nClips: scenes 0-39 (confirm, 8, 16 and 32 frames); scenes 0-39 (confirm, second world"
    )
    assert "one standard error over clips" in text


def test_worse_methods_are_marked(shown):
    part = section(shown, "Both models, both worlds")
    lines = [line for line in part.splitlines() if line.startswith("| random |")]
    assert all(line.count("▼") == 2 for line in lines[:3])
    assert lines[3].count("▼") == len(KINDS)
    assert "Significantly above aot: none of the other methods entered (2)." in part


def test_better_methods_are_named():
    text = overview(invented.results(invented.plan(), lead=-0.04))
    assert "Significantly above aot: average at 50 %, random at 50 %, average at 10 %, random at 10 %." in text


def test_entered_methods_are_told(made):
    text = overview(made)
    assert "Entered: aot, average, random. Not entered, with an exact budget: aot-paper, diverse, divprune" in text
    assert "llava-scissor" in text
    everything = overview(invented.results(invented.plan(methods=("all",), retentions=(0.1,), clips=6)))
    assert "Every method with an exact budget was entered." in everything


def test_equivalent_settings_are_marked():
    alike = invented.results(invented.plan(clips=200), lead=0.0)
    lines = [line for line in overview(alike).splitlines() if line.startswith(("average ", "random "))]
    assert len(lines) == 4
    assert lines[0].count("≈") == lines[1].count("≈") == 2
    assert "▼" not in lines[0] + lines[1]


def test_other_shares_are_told(made):
    assert "kept)" not in overview(made)
    text = overview(invented.results(invented.plan(), kept=1.2))
    assert "(12 % kept)*" in text
    assert "* keeps more or fewer tokens than requested" in text


def test_method_that_cannot_run_says_so_and_others_stand(made, shown):
    text = page(invented.refused(made, "average", "cannot run on 1 of 40 clips: no fold"))
    part = section(text, "Both models, both worlds")
    assert "| average | - | - |" in part
    assert (
        "average at 10 %, tiny, scenes 0-39 (confirm, 8, 16 and 32 frames): cannot run on 1 of 40 clips: no fold"
        in part
    )
    untouched = section(shown, "Both models, both worlds")
    random = [line for line in part.splitlines() if line.startswith("| random |")]
    assert random == [line for line in untouched.splitlines() if line.startswith("| random |")]


def test_clip_of_both_models_counts_once(made):
    """Two models with equal answers give the same error as one."""
    cells, half = dict(made.cells), len(made.plan.benches) // 2
    for one, other in zip(made.plan.benches[:half], made.plan.benches[half:], strict=True):
        cells |= {(other, each): made.cells[one, each] for each in made.plan.settings}
    alike, setting = Results(made.plan, cells), Setting("aot", 0.1)
    errors = [alike.only(bench).estimate(setting).error for bench in made.plan.benches[:half]]
    assert alike.estimate(setting).error == pytest.approx(np.hypot(*errors) / 2)


def test_false_marks_are_rare():
    """Methods with the same chances: some mark in at most about 5 % of the families."""
    plan = invented.plan(clips=30)
    made, found = invented.results(plan), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        cells = {
            key: Cell(
                cell.row,
                cell.values | {f"right_{kind}": rng.binomial(cell.values[f"asked_{kind}"], 0.8) for kind in KINDS},
            )
            for key, cell in made.cells.items()
        }
        compared = Results(plan, cells).compared([(each, FULL) for each in plan.folded])
        found += any(set("▲▼") & set(mark) for _, mark in compared.values())
    assert found <= 9, "three in sixty are expected"


def test_one_method_has_no_comparisons_but_with_all_tokens():
    text = page(invented.results(invented.plan("search", ["random"], [0.5], 8)))
    assert "Paired differences to random" not in text
    assert "Paired differences to all tokens" in text
    assert "both worlds" not in text
    assert "Significantly above" not in text


def test_all_tokens_have_a_row_by_kind(shown):
    part = section(shown, "Both models, both worlds")
    assert part.count("| all tokens |") == 1

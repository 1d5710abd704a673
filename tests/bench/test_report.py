from vidfold.bench.report import groups, markdown, mixed, overview
from vidfold.tiny.questions import KINDS


def test_groups_by_retention_best_first(bench):
    quarter, tenth = groups(bench[1])
    assert quarter.title == "tiny, scenes 0-2, 25 % of the tokens requested"
    assert tenth.rows[0]["method"] == "identity"
    shares = [float(row["accuracy_mean"]) for row in tenth.rows[1:]]
    assert shares == sorted(shares, reverse=True)


def test_overview_has_one_line_per_row(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    refused = bench[1][1] | {"method": "other", "status": "cannot run: too hard"}
    text = overview([*bench[1], refused])
    assert text.count("all tokens") == 2
    assert text.count("aot-reference ") == 2
    assert "other: cannot run: too hard" in text
    assert "10.1 %" in text
    assert "100.0 %" in text


def test_markdown_tables_are_well_formed(bench):
    lines = markdown(bench[1]).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 4 * (2 + 3)
    assert {line.count("|") for line in tables} == {12, 2 + len(KINDS)}
    assert any(line.startswith("Measured with vidfold ") for line in lines)
    assert "| all tokens | 288 | 100.0 % |" in tables[2]


def test_no_accuracy_without_true_answers(bench):
    rows = [{name: "" if "accuracy" in name or "difference" in name else row[name] for name in row} for row in bench[1]]
    text = markdown(rows)
    assert "kind of question" not in text.split("accuracy:")[0]
    assert "| - | - |" in text


def test_warning_about_different_code(bench):
    assert mixed(bench[1]) == []
    (warning,) = mixed([bench[1][0] | {"code": "older"}, *bench[1][1:]])
    assert warning.startswith("Caution: these rows were measured with 2 versions of vidfold's code")


def test_baseline_only(bench):
    assert overview(bench[1][:1]).count("all tokens") == 1


def test_methods_that_keep_too_much_are_marked(bench):
    text = overview(bench[1])
    quarter, tenth = text.split("tiny, ")[1:]
    assert "%*" in quarter  # aot-reference
    assert "* more tokens than requested" in quarter
    assert "10.1 %*" not in tenth

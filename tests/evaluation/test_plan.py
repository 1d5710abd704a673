"""Recipes of the tables, as rows with arguments."""

import pytest

from vidfold.evaluation import plan, published
from vidfold.evaluation.settings import Settings

RECIPE = """
title: a table
model_args: {pretrained: tiny, frames: 8}
benchmarks: {One: task_one, Two: task_two}
rows:
  - {name: none, published: Vanilla, method: none}
  - {name: aot, published: AOT, method: aot, at: [0.25, 0.1]}
  - name: reference
    method: aot-reference
    fields: {dtype: float16}
    note: keep is a guess
    at:
      0.2: [{anchors: 99, keep: 0.4}]
      0.1:
        - {benchmarks: [One], anchors: 44, keep: 0.3, note: ""}
        - {benchmarks: [Two], anchors: 33, keep: 0.1}
"""


def test_every_row_is_a_run():
    rows = plan.parse("table", RECIPE).rows
    assert [row.id for row in rows] == [
        "none",
        "aot@0.25",
        "aot@0.10",
        "reference@0.20",
        "reference@0.10-One",
        "reference@0.10-Two",
    ]
    shared = {"pretrained": "tiny", "frames": 8}
    assert rows[2].arguments == shared | {"method": "aot", "retention": 0.1}
    assert rows[4].arguments == shared | {
        "method": "aot-reference",
        "dtype": "float16",
        "nominal": 0.1,
        "anchors": 44,
        "keep": 0.3,
    }
    assert [row.note for row in rows] == ["", "", "", "keep is a guess", "", "keep is a guess"]
    assert [row.benchmarks for row in rows[-2:]] == [("One",), ("Two",)]


def test_rows_are_chosen_by_name_and_by_id():
    found = plan.parse("table", RECIPE)
    assert found.select([]) == found.rows
    assert [row.id for row in found.select(["aot@0.10", "none"])] == ["none", "aot@0.10"]
    assert [row.id for row in found.select(["reference"])] == [row.id for row in found.rows[3:]]
    with pytest.raises(ValueError, match="table has no row 'referense'; did you mean 'reference'"):
        found.select(["referense"])


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        (("method: aot,", "method: aott,"), "unknown method 'aott'"),
        (("anchors: 99", "ankers: 99"), "aot-reference has no field 'ankers'"),
        (("name: none", "name: aot@0.25"), "two rows of the same name"),
    ],
)
def test_bad_recipes_raise(change, quoted):
    with pytest.raises(ValueError, match=quoted):
        plan.parse("table", RECIPE.replace(*change))


def test_one_recipe_per_table():
    assert plan.names() == ("table1", "table2", "table3", "table4")
    with pytest.raises(ValueError, match="no recipe for 'table9'; there are: table1"):
        plan.read("table9")


@pytest.mark.parametrize("name", plan.names())
def test_every_published_row_is_filled_or_left_out(name):
    found = plan.read(name)
    numbers = published.load(name.removeprefix("table")).numbers
    filled = {row.published for row in found.rows}
    known = {number.method for number in numbers}
    assert filled - {""} <= known
    if not found.bench:
        assert known <= filled | set(found.left_out)


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_shares_equal_the_published_ones(name):
    found = plan.read(name)
    known = {(number.method, number.retention) for number in published.load(name.removeprefix("table")).numbers}
    for row in found.rows:
        share = Settings.of(**row.arguments).retention
        # FastV and PDrop keep all before the language model; their own retention is another thing.
        if row.published and row.published not in ("FastV", "PDrop"):
            assert (row.published, share) in known, row.id


def test_anchors_are_those_of_the_paper():
    for name, backbone in (("table1", "LLaVA-OneVision-7B"), ("table2", "LLaVA-Video-7B")):
        printed = {
            (number.retention, int(number.value))
            for number in published.load("settings").numbers
            if (number.backbone, number.benchmark, number.source) == (backbone, "anchors a frame", "AOT paper")
        }
        rows = [row for row in plan.read(name).rows if row.name == "aot-reference"]
        used = {(row.arguments["nominal"], row.arguments["anchors"]) for row in rows}
        assert printed <= used

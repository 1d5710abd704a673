"""Tables of a suite: accuracies, paired differences to the first method, kinds of question."""

from __future__ import annotations

from collections.abc import Sequence

from vidfold.app.tables import markdown_table, percent, plus_minus, table
from vidfold.bench.report import mixed
from vidfold.bench.suites.plan import UNFOLDED, Cell, Plan
from vidfold.bench.suites.running import Results
from vidfold.bench.suites.statistics import Estimate
from vidfold.bench.suites.views import BY_KIND, LEVEL, MEAN, Signs, View, signs, views

KINDS_AT = 0.10
"""The retention of the tables by kind of question."""

_SIGNS = {1: " ▲", -1: " ▼", 0: ""}
_UNEQUAL = "\\*"
_PROVENANCE = ("vidfold", "code", "torch", "transformers", "python", "processor", "threads", "device", "dtype")

Table = list[list[str]]


def overview(results: Results) -> str:
    """Accuracies over all cases, for a terminal."""
    together, _ = views(results)
    body = _accuracies(together, signs([together], _folded(results.plan)))
    title = f"suite {results.plan.suite.name}, {together.title.lower()}: right answers in %, ± one standard error"
    plain = [[cell.replace("\\", "") for cell in row] for row in body]
    return "\n\n".join(
        [title, table(plain), "\n".join(_notes(results.plan, together)).replace("\\", ""), *mixed(results.rows)]
    )


def markdown(results: Results) -> str:
    """All tables of all views, with legend and provenance, in Markdown."""
    plan, (together, alone) = results.plan, views(results)
    parts = [f"# Suite {plan.suite.name}", _introduction(plan)]
    for family in ([together], alone):
        mean = signs(family, _folded(plan))
        at_kinds = [cell for cell in _folded(plan) if cell[1] == KINDS_AT]
        by_kind = signs(family, at_kinds, BY_KIND)
        for view in family:
            parts += [f"## {view.title}", "Right answers, in %:", markdown_table(_accuracies(view, mean))]
            if len(plan.methods) > 1:
                parts += [
                    f"Paired differences to {plan.methods[0]}, in points:",
                    markdown_table(_differences(view, mean)),
                ]
            if at_kinds:
                parts += [f"By kind of question, with {percent(KINDS_AT)} of the tokens:"]
                parts.append(markdown_table(_kinds(view, at_kinds, by_kind)))
            parts.append("\n".join(f"- {note}" for note in _notes(plan, view)))
    return "\n\n".join([*parts, _legend(plan, len(alone)), *_provenance(results), *mixed(results.rows)]) + "\n"


def _folded(plan: Plan) -> list[Cell]:
    return [cell for cell in plan.cells() if cell != UNFOLDED]


def _accuracies(view: View, marks: Signs) -> Table:
    """Methods by retentions, with the measured share of tokens if it differs from the requested one."""
    plan = view.results.plan
    rows = [["method", *map(percent, plan.retentions)]]
    for method in plan.methods:
        cells = [(method, share) for share in plan.retentions]
        rows.append(
            [method, *(_number(view.estimate(each)) + _mark(view, each, marks) + _kept(view, each) for each in cells)]
        )
    return rows


def _differences(view: View, marks: Signs) -> Table:
    plan = view.results.plan
    rows = [["method", *map(percent, plan.retentions)]]
    for method in plan.methods[1:]:
        cells = [(method, share) for share in plan.retentions]
        rows.append(
            [
                method,
                *(_number(view.difference(each), "+") + _mark(view, each, marks) + _star(view, each) for each in cells),
            ]
        )
    return rows


def _kinds(view: View, cells: Sequence[Cell], marks: Signs) -> Table:
    rows = [["method", *BY_KIND]]
    for cell in (UNFOLDED, *cells):
        name = "all tokens" if cell == UNFOLDED else cell[0] + _star(view, cell)
        shown = (
            _number(view.estimate(cell, measure)) + _mark(view, cell, marks, kind) for kind, measure in BY_KIND.items()
        )
        rows.append([name, *shown])
    return rows


def _number(estimate: Estimate, sign: str = "") -> str:
    """A share or difference in %, with its standard error."""
    return plus_minus(estimate.value, estimate.error, sign=sign)


def _mark(view: View, cell: Cell, marks: Signs, measure: str = next(iter(MEAN))) -> str:
    return _SIGNS[marks.get((view, cell, measure), 0)]


def _kept(view: View, cell: Cell) -> str:
    return f" ({percent(view.kept(cell))} kept){_UNEQUAL}" if view.unequal(cell) else ""


def _star(view: View, cell: Cell) -> str:
    return _UNEQUAL if view.unequal(cell) else ""


def _notes(plan: Plan, view: View) -> list[str]:
    """The notes under a view's tables."""
    notes = [f"All tokens: {_number(view.estimate(UNFOLDED))} %."]
    if len(plan.methods) > 1:
        notes.append(f"{_SIGNS[1].strip()} {_SIGNS[-1].strip()}: significantly above or below {plan.methods[0]}.")
    if any(view.unequal(cell) for cell in _folded(plan)):
        notes.append(f"{_UNEQUAL} keeps more or fewer tokens than requested: not at the same cost as the others.")
    return notes


def _introduction(plan: Plan) -> str:
    frames = ", ".join(map(str, plan.frames))
    worlds = " and ".join(plan.suite.worlds)
    return (
        f"Purpose: {plan.suite.purpose}.\n\n{plan.clips} clips of the {plan.suite.split} split of the {worlds} world"
        f"{'s' * (len(plan.suite.worlds) > 1)} each, of {frames} frames in turn. Model varied: the shipped one, whose "
        "language model was trained on a varied share of every video's tokens. Model whole: its twin, trained further "
        "on whole videos only."
    )


def _legend(plan: Plan, alone: int) -> str:
    others, shares = len(plan.methods) - 1, len(plan.retentions)
    legend = (
        "Right answers: mean over the kinds of question, all with the same weight. ±: one standard error over clips; "
        "questions about one clip are not independent. In a view of both models a clip counts once, with the mean of "
        "the two; worlds have the same weight."
    )
    if others:
        legend += (
            f" Marks: two-sided normal tests of the paired differences at {LEVEL:.0%} after Holm's correction, within "
            f"families of comparisons: the {others * shares} of the first table, the {alone * others * shares} of the "
            "views of single cases, and those by kind in the same way."
        )
    return legend


def _provenance(results: Results) -> list[str]:
    """Versions and machines, one line for each combination."""
    told = (", ".join(f"{name} {row[name]}" for name in _PROVENANCE) for row in results.rows)
    weights = dict.fromkeys(f"{row['model']} {row['weights']}" for row in results.rows)
    return [*dict.fromkeys(f"Measured with {line}." for line in told), f"Weights: {', '.join(weights)}."]

"""Invented results: every method has a given accuracy."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from vidfold.bench.quality import suite_plan
from vidfold.bench.results import MEASURED, Cell, Plan, Results
from vidfold.bench.run import COLUMNS
from vidfold.bench.settings import FULL
from vidfold.bench.summary import summary
from vidfold.tiny.questions import KINDS


def plan(suite="confirm", methods=("aot", "average", "random"), retentions=(0.5, 0.1), clips=40) -> Plan:
    models: dict[str, Any] = {name: SimpleNamespace(name=name) for name in ("tiny", "tiny-whole")}
    return suite_plan(suite, methods, retentions, clips, models=models)


def counts(right, asked):
    """Right answers and questions (clips, kinds) as values of clips by name."""
    named = {"right": right, "asked": asked}
    return {f"{name}_{kind}": array[:, place] for name, array in named.items() for place, kind in enumerate(KINDS)}


def results(plan: Plan, lead: float = 0.15, kept: float = 1.0) -> Results:
    """The first method is better than the second by ``lead``; others are worse still.

    The last method keeps ``kept`` times the requested share.
    """
    cells, methods = {}, list(dict.fromkeys(each.method for each in plan.settings if each != FULL))
    for number, bench in enumerate(plan.benches):
        clips = len(bench.source.clips)
        luck = np.random.default_rng(number).random((clips, len(KINDS), 3))
        asked = np.random.default_rng((number, 1)).integers(1, 4, (clips, len(KINDS)))
        full = None
        for setting in plan.settings:
            rank = 0 if setting == FULL else methods.index(setting.method)
            skill = 0.9 + 0.1 * np.log10(setting.retention) - lead * rank
            right = ((luck < skill) & (np.arange(3) < asked[..., None])).sum(-1)
            factor = kept if setting.method == methods[-1] else 1.0
            share = np.full(clips, setting.retention * factor)
            found = {"questions": asked.sum(1), "tokens_before": np.full(clips, 288), "tokens_after": 288 * share}
            found |= {"layer_retention": share, "fold_ms": np.full(clips, 2.0 + rank)}
            found |= counts(right, asked)
            full = full or found
            key = {"model": bench.loaded.name, "source": bench.source.name, "world": bench.source.world, "code": "c"}
            key |= {"suite": plan.suite, "method": setting.method, "asked": f"{setting.retention:g}"}
            row = dict.fromkeys(COLUMNS, "") | key | {"status": MEASURED} | summary(found, full)
            cells[bench, setting] = Cell(row, found)
    return Results(plan, cells)


def refused(made: Results, method: str, status: str) -> Results:
    """The same results, with a method that could not run."""
    cells = {
        (bench, each): Cell(cell.row | {"status": status, "accuracy_mean": ""}, {}) if each.method == method else cell
        for (bench, each), cell in made.cells.items()
    }
    return Results(made.plan, cells)

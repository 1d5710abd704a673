"""Invented results of a suite: every method has a given accuracy."""

import numpy as np

from vidfold.bench.suites.plan import UNFOLDED, Plan
from vidfold.bench.suites.running import COLUMNS, Results, numbers
from vidfold.tiny.evaluate import Score
from vidfold.tiny.questions import KINDS


def results(plan: Plan, lead: float = 0.15, kept: float = 1.0) -> Results:
    """The first method is better than the second by ``lead``; others are worse still.

    The last method keeps ``kept`` times the requested share.
    """
    scores, rows = {}, []
    for number, case in enumerate(plan.cases()):
        luck = np.random.default_rng(number).random((plan.clips, len(KINDS), 3))
        asked = np.random.default_rng((number, 1)).integers(1, 4, (plan.clips, len(KINDS)))
        scores[case] = {}
        for method, share in plan.cells():
            rank = 0 if (method, share) == UNFOLDED else plan.methods.index(method)
            skill = 0.9 + 0.1 * np.log10(share) - lead * rank
            right = ((luck < skill) & (np.arange(3) < asked[..., None])).sum(-1)
            factor = kept if method == plan.methods[-1] else 1.0
            scores[case][method, share] = Score(right, asked, np.full(plan.clips, share * factor))
            key = {"suite": plan.suite.name, "model": case.model, "world": case.world}
            told = dict.fromkeys(COLUMNS, "") | key | {"method": method, "asked": f"{share:g}", "code": "c"}
            rows.append(told | numbers(scores[case][method, share]))
    return Results(plan, scores, rows)

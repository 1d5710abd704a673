"""Tables of a suite: accuracies, paired differences to the first method and to all tokens, kinds of question."""

from collections.abc import Iterator, Sequence

from vidfold.app.tables import table
from vidfold.bench.numbers import markdown_table, percent, plus_minus
from vidfold.bench.run import MEASURED, Bench, Results
from vidfold.bench.scores import Estimate
from vidfold.bench.settings import FULL, Setting, exact_methods
from vidfold.bench.views import ERRORS, SIGNS, Marks, View, about_clips, against_full, mixed, provenance
from vidfold.tiny.questions import KINDS

KINDS_AT = 0.10
"""The retention of the tables by kind of question."""
_UNEQUAL = "\\*"

Table = list[list[str]]
Pairs = list[tuple[Setting, Setting]]


def overview(results: Results) -> str:
    """Accuracies over all benches, and differences to all tokens, for a terminal."""
    view = _views(results)[0]
    marked = view.marks(_against_first(results))
    parts = [
        f"suite {results.plan.suite}, {view.title.lower()}: right answers in %, ± one standard error",
        table(_accuracies(view, marked)),
        "paired differences to all tokens, in points",
        table(_differences(view, against_full(_settings(results)))),
        "\n".join([*_notes(view, marked), _entered(results)]),
    ]
    return "\n\n".join([*(part.replace("\\", "") for part in parts), *about_clips(results), *mixed(results.rows)])


def page(results: Results, purpose: str) -> str:
    """All tables in Markdown: all benches together, then one by one."""
    first, to_first = _methods(results)[0], _against_first(results)
    to_full = against_full(_settings(results))
    share = f"By kind of question, with {percent(KINDS_AT)} of the tokens"
    parts = [f"# Suite {results.plan.suite}", f"Purpose: {purpose}.", _introduction(results)]
    for view in _views(results):
        marked = view.marks(to_first)
        parts += [f"## {view.title}", f"Right answers, in %, with marks against {first}:"]
        parts.append(markdown_table(_accuracies(view, marked)))
        if to_first:
            parts += [f"Paired differences to {first}, in points:", markdown_table(_differences(view, to_first))]
        parts += ["Paired differences to all tokens, in points:", markdown_table(_differences(view, to_full))]
        if any(each.retention == KINDS_AT for each, _ in to_full):
            parts += [f"{share}, in %, with marks against {first}:", markdown_table(_kinds(view, to_first))]
            parts += [
                f"{share}, paired differences to all tokens, in points:",
                markdown_table(_kind_differences(view, to_full)),
            ]
        parts.append("\n".join(f"- {note}" for note in _notes(view, marked)))
    legend = (
        f"Right answers: mean over the kinds of question, all with the same weight. {ERRORS} In a view of both models "
        f"a clip counts once, with the mean of the two; worlds have the same weight. {SIGNS}"
    )
    weights = ", ".join(dict.fromkeys(f"{row['model']} {row['weights']}" for row in results.rows))
    about = [_entered(results), legend, *about_clips(results), *provenance(results.rows), f"Weights: {weights}."]
    return "\n\n".join([*parts, *about]) + "\n"


def _views(results: Results) -> list[View]:
    """A view of all benches together, and one view per bench."""
    benches = results.plan.benches
    alone = [View(f"Model {each.loaded.name}, {each.source.world} world", results, (each,)) for each in benches]
    worlds = dict.fromkeys(each.source.world for each in benches)
    told = "both worlds" if len(worlds) > 1 else f"{next(iter(worlds))} world"
    return [View(f"Both models, {told}", results, benches), *alone]


def _settings(results: Results) -> list[Setting]:
    return [each for each in results.plan.settings if each != FULL]


def _methods(results: Results) -> list[str]:
    return list(dict.fromkeys(each.method for each in _settings(results)))


def _against_first(results: Results) -> Pairs:
    first = _methods(results)[0]
    return [(each, Setting(first, each.retention)) for each in _settings(results) if each.method != first]


def _accuracies(view: View, marked: Marks) -> Table:
    """Methods by retentions, with the measured share of tokens if it differs from the requested one."""
    cells = {}
    for each in _settings(view.results):
        kept = f" ({percent(view.kept(each))} kept)" if view.unequal(each) else ""
        cells[each] = _number(view.estimate(each), marked.get((each, None), "")) + kept + _star(view, each)
    return _grid(cells)


def _differences(view: View, pairs: Pairs) -> Table:
    marked = view.marks(pairs)
    return _grid(
        {one: _number(view.difference(one, other), marked[one, None], "+") + _star(view, one) for one, other in pairs}
    )


def _grid(cells: dict[Setting, str]) -> Table:
    """Methods by retentions."""
    shares = dict.fromkeys(each.retention for each in cells)
    methods = dict.fromkeys(each.method for each in cells)
    rows = [[method, *(cells[Setting(method, share)] for share in shares)] for method in methods]
    return [["method", *map(percent, shares)], *rows]


def _kinds(view: View, pairs: Pairs) -> Table:
    marked = view.marks([(one, other) for one, other in pairs if one.retention == KINDS_AT], KINDS)
    rows = [FULL, *(each for each in _settings(view.results) if each.retention == KINDS_AT)]
    return _by_kind(view, {each: [view.estimate(each, kind) for kind in KINDS] for each in rows}, marked)


def _kind_differences(view: View, pairs: Pairs) -> Table:
    pairs = [(one, other) for one, other in pairs if one.retention == KINDS_AT]
    gaps = {one: [view.difference(one, other, kind) for kind in KINDS] for one, other in pairs}
    return _by_kind(view, gaps, view.marks(pairs, KINDS), "+")


def _by_kind(view: View, found: dict[Setting, list[Estimate]], marked: Marks, sign: str = "") -> Table:
    rows = [["method", *KINDS]]
    for each, numbers in found.items():
        cells = [_number(one, marked.get((each, kind), ""), sign) for kind, one in zip(KINDS, numbers, strict=True)]
        rows.append(["all tokens" if each == FULL else each.method + _star(view, each), *cells])
    return rows


def _number(estimate: Estimate, mark: str, sign: str = "") -> str:
    return f"{plus_minus(estimate.value, estimate.error, sign=sign)} {mark}".rstrip()


def _star(view: View, setting: Setting) -> str:
    return _UNEQUAL if view.unequal(setting) else ""


def _notes(view: View, marked: Marks) -> Iterator[str]:
    """The notes under a view's tables."""
    full, pairs = view.estimate(FULL), _against_first(view.results)
    yield f"All tokens: {plus_minus(full.value, full.error)} %."
    if pairs:
        others = len({one.method for one, _ in pairs})
        above = [f"{one.method} at {percent(one.retention)}" for one, _ in pairs if "▲" in marked[one, None]]
        nobody = f"none of the other methods entered ({others})"
        yield f"Significantly above {pairs[0][1].method}: {', '.join(above) or nobody}."
    if any(view.unequal(each) for each in _settings(view.results)):
        yield f"{_UNEQUAL} keeps more or fewer tokens than requested: not at the same cost as the others."
    yield from _refused(view.results, view.benches)


def _refused(results: Results, benches: Sequence[Bench]) -> Iterator[str]:
    for bench in benches:
        for each in results.plan.settings:
            if (status := results.cells[bench, each].row["status"]) != MEASURED:
                where = f"{bench.loaded.name}, {bench.source.world} world"
                yield f"{each.method} at {percent(each.retention)}, {where}: {status}."


def _entered(results: Results) -> str:
    """Which methods were compared, and which could have been."""
    methods = _methods(results)
    missing = [name for name in exact_methods() if name not in methods]
    rest = (
        f"Not entered, with an exact budget: {', '.join(missing)}."
        if missing
        else "Every method with an exact budget was entered."
    )
    return f"Entered: {', '.join(methods)}. {rest}"


def _introduction(results: Results) -> str:
    sources = dict.fromkeys(bench.source.name for bench in results.plan.benches)
    return (
        f"Clips: {'; '.join(sources)}. Model tiny: the shipped one, whose language model was trained on a varied share "
        "of every video's tokens. Model tiny-whole: its twin, trained further on whole videos only."
    )

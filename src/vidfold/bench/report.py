"""Tables of a quality bench, for a terminal and in Markdown: all measures on any clips, or right answers of a suite."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from vidfold.app.tables import markdown_table, percent, plus_minus, table
from vidfold.app.writing import Row
from vidfold.bench.results import MEASURED, Key, Results
from vidfold.bench.scores import LEVEL, MARGIN, Estimate
from vidfold.bench.settings import FULL, Setting, exact_methods
from vidfold.bench.summary import merit
from vidfold.tiny.questions import KINDS

KINDS_AT = 0.10
"""The retention of a suite's tables by kind of question."""

_MEASURES = (
    "tokens: number given to the language model per clip; kept: measured share that its layers read, averaged over "
    "layers; difference: to all tokens on the same clips, in points, with its 95 % interval (1.96 standard errors); "
    "KL: divergence of the folded from the unfolded next-token distribution along the unfolded answers, in nats; "
    "top-1: share of positions with the same most likely token; L2-NQE: mean squared distance of unit tokens to the "
    "nearest kept one; covered: share of tokens with a kept one at cosine 0.90 or above; transport: entropic transport "
    "cost from all tokens to the kept ones; fold: median milliseconds of the method alone."
)
_ANSWERS = (
    "Accuracy: right answers, mean over the kinds of question, all with the same weight, in %. ±: one standard error "
    "over clips; questions about one clip are not independent. ± 0.0: all clips agree, which does not prove that "
    "others would. Without ±: too few clips for an error. In a view of both models a clip counts once, with the mean "
    "of the two; worlds have the same weight."
)
_MARKS = (
    "▲ ▼: significantly above or below; ≈: equivalent, the difference is significantly smaller than "
    f"{100 * MARGIN:g} points. A difference without a mark was not told from zero, which does not make it zero. Tests "
    f"exchange the two settings in random clips (▲ ▼; two-sided) or are two one-sided normal tests (≈), at {LEVEL:.0%} "
    "after Holm's correction over all comparisons of a table."
)
_SPLITS = {
    "search": "Clips of the search split: AOT's settings were chosen on them, so they favour it.",
    "confirm": "Clips of the confirm split: AOT's settings were checked on them.",
    "final": "Clips of the final split: no setting of any method was chosen on them. Do not choose by them.",
}
_TWINS = (
    "Model tiny: the shipped one, whose language model was trained on a varied share of every video's tokens. Model "
    "tiny-whole: its twin, trained further on whole videos only."
)
_FEWEST = 6  # clips; the smallest p-value is 2 / 2**clips
_PROVENANCE = (
    *("vidfold", "code", "torch", "transformers", "python", "processor", "threads", "device", "dtype"),
    *("model", "weights"),
)

Table = list[list[str]]
Cells = Mapping[Key, str]
Compared = Mapping[Key, tuple[Estimate, str]]
Kinds = Sequence[str | None]


def overview(results: Results) -> str:
    """The main tables, for a terminal."""
    plain = partial(re.sub, r"^#+ |\\", "")
    parts = _parts(results, brief=True)
    told = [plain(part) if isinstance(part, str) else table([[*map(plain, row)] for row in part]) for part in parts]
    return "\n\n".join([*told, *_warnings(results)])


def page(results: Results) -> str:
    """All tables in Markdown, with a legend and the provenance."""
    parts = [part if isinstance(part, str) else markdown_table(part) for part in _parts(results, brief=False)]
    lines = [", ".join(f"{name} {row[name]}" for name in _PROVENANCE) for row in results.rows]
    measured = [f"Measured with {line}." for line in dict.fromkeys(lines)]
    legend = [_ANSWERS, _MARKS] if results.plan.suite else [_MEASURES, _ANSWERS, f"Marks: against all tokens. {_MARKS}"]
    return "\n\n".join([*parts, *legend, *_warnings(results), *measured]) + "\n"


def _parts(results: Results, *, brief: bool) -> Iterator[str | Table]:
    return _suite(results, brief) if results.plan.suite else _quality(results, brief)


def _quality(every: Results, brief: bool) -> Iterator[str | Table]:
    """All measures, a table for every bench and retention, best first; unless brief, right answers by kind as well."""
    shares = dict.fromkeys(each.retention for each in every.plan.folded) or (FULL.retention,)
    for bench, share in itertools.product(every.plan.benches, shares):
        results = every.only(bench)
        own = [each for each in every.plan.folded if each.retention == share]
        rows = {each: every.cells[bench, each].row for each in (FULL, *own)}
        rows = {each: row for each, row in rows.items() if row["status"] == MEASURED}
        best_first = sorted(rows, key=lambda each: (each == FULL, merit(rows[each])[0]), reverse=True)
        pairs = [(each, FULL) for each in best_first if each != FULL]
        compared = results.compared(pairs)
        yield f"### {bench.loaded.name}, {bench.source.name}, {percent(share, 4)} of the tokens requested"
        lines = [list(_COLUMNS)]
        for each in best_first:
            cells = {name: cell(rows[each]) for name, cell in _COLUMNS.items()}
            cells["kept"] += _star(results, each)
            if each != FULL:
                cells["difference"] = f"{cells['difference']} {compared[each, None][1]}".rstrip()
            lines.append(list(cells.values()))
        yield lines
        if not brief and any(row["accuracy_mean"] for row in rows.values()):
            yield "Accuracy by kind of question, in %, with marks against all tokens:"
            yield _by_kind(results, _answers(results, best_first, results.compared(pairs, KINDS), KINDS))
        yield from _notes(results, own)


def _suite(every: Results, brief: bool) -> Iterator[str | Table]:
    """Right answers and paired differences over all benches; unless brief, by kind and bench by bench as well."""
    folded, benches = every.plan.folded, every.plan.benches
    methods = list(dict.fromkeys(each.method for each in folded))
    first = methods[0]
    to_full = [(each, FULL) for each in folded]
    to_first = [(each, Setting(first, each.retention)) for each in folded if each.method != first]
    # A table by kind has one retention, and is not in the overview.
    kinds_full, kinds_first = (
        [pair for pair in pairs if pair[0].retention == KINDS_AT and not brief] for pairs in (to_full, to_first)
    )
    kind_rows = [FULL, *(each for each, _ in kinds_full)] if kinds_full else []
    worlds = list(dict.fromkeys(bench.source.world for bench in benches))
    views = {f"Both models, {'both worlds' if len(worlds) > 1 else f'{worlds[0]} world'}": every}
    if not brief:
        views |= {f"Model {each.loaded.name}, {each.source.world} world": every.only(each) for each in benches}
    yield f"# Suite {every.plan.suite}"
    yield f"Clips: {'; '.join(dict.fromkeys(bench.source.name for bench in benches))}. {_TWINS}"
    for title, results in views.items():
        full, firsts = results.compared(to_full), results.compared(to_first)
        by_kind, by_kind_first = results.compared(kinds_full, KINDS), results.compared(kinds_first, KINDS)
        share, marks = f"By kind of question, with {percent(KINDS_AT)} of the tokens", f"with marks against {first}"
        tables = {
            f"Right answers, in %, {marks}:": _by_retention(results, _answers(results, folded, firsts)),
            f"Paired differences to {first}, in points:": [] if brief else _by_retention(results, _gaps(firsts)),
            "Paired differences to all tokens, in points:": _by_retention(results, _gaps(full)),
            f"{share}, in %, {marks}:": _by_kind(results, _answers(results, kind_rows, by_kind_first, KINDS)),
            f"{share}, paired differences to all tokens, in points:": _by_kind(results, _gaps(by_kind)),
        }
        yield f"## {title}"
        for name, lines in tables.items():
            if len(lines) > 1:
                yield name
                yield lines
        yield f"All tokens: {_told(results.estimate(FULL))} %."
        if to_first:
            above = [each for (each, _), (_, mark) in firsts.items() if "▲" in mark]
            names = [f"{each.method} at {percent(each.retention)}" for each in above]
            nobody = f"none of the other methods entered ({len(methods) - 1})"
            yield f"Significantly above {first}: {', '.join(names) or nobody}."
        yield from _notes(results, folded)
    missing = [name for name in exact_methods() if name not in methods]
    rest = f"Not entered, with an exact budget: {', '.join(missing)}."
    yield f"Entered: {', '.join(methods)}. {rest if missing else 'Every method with an exact budget was entered.'}"


def _answers(results: Results, settings: Iterable[Setting], compared: Compared, kinds: Kinds = (None,)) -> Cells:
    """Right answers in %, with the marks of a comparison."""
    marks = {key: mark for key, (_, mark) in compared.items()}
    return {key: _told(results.estimate(*key), marks.get(key, "")) for key in itertools.product(settings, kinds)}


def _gaps(compared: Compared) -> Cells:
    """Paired differences in points, with their marks."""
    return {key: _told(gap, mark, "+") for key, (gap, mark) in compared.items()}


def _told(number: Estimate, mark: str = "", sign: str = "") -> str:
    return f"{plus_minus(number.value, number.error, sign=sign)} {mark}".rstrip()


def _by_retention(results: Results, cells: Cells) -> Table:
    """Methods by retentions, with the measured share of tokens if it differs from the requested one."""
    shares = list(dict.fromkeys(each.retention for each, _ in cells))
    lines: dict[str, list[str]] = {}
    for (each, _), told in cells.items():
        kept = f" ({percent(results.kept(each))} kept)" if results.unequal(each) else ""
        lines.setdefault(each.method, [each.method]).append(told + kept + _star(results, each))
    return [["method", *map(percent, shares)], *lines.values()]


def _by_kind(results: Results, cells: Cells) -> Table:
    """Methods by kinds of question."""
    names = {each: "all tokens" if each == FULL else each.method for each, _ in cells}
    rows = [[name + _star(results, each), *(cells[each, kind] for kind in KINDS)] for each, name in names.items()]
    return [["method", *KINDS], *rows]


def _star(results: Results, setting: Setting) -> str:
    return "\\*" if results.unequal(setting) else ""


def _notes(results: Results, settings: Sequence[Setting]) -> Iterator[str]:
    """What the stars mean, and why some methods could not run."""
    notes = []
    if any(results.unequal(each) for each in settings):
        notes.append("- \\* keeps more or fewer tokens than requested: not comparable with the others.")
    for bench, each in itertools.product(results.plan.benches, settings):
        if (status := results.cells[bench, each].row["status"]) != MEASURED:
            where = f"{each.method} at {percent(each.retention)}, {bench.loaded.name}, {bench.source.name}"
            notes.append(f"- {where}: {status}")
    if notes:
        yield "\n".join(notes)


def _warnings(results: Results) -> list[str]:
    """What the clips were used for, where they are too few, and whether the code differs."""
    sources = [bench.source for bench in results.plan.benches]
    notes = [_SPLITS[split] for split in dict.fromkeys(getattr(each, "split", "") for each in sources) if split]
    fewest = min(len(each.clips) for each in sources)
    if fewest == 1:
        notes.append("One clip: no error can be told, and no difference can be significant.")
    elif fewest < _FEWEST:
        notes.append(f"{fewest} clips: errors are rough, and no difference within them can be significant.")
    codes = sorted({row["code"] for row in results.rows})
    if len(codes) > 1:
        notes.append(
            f"Caution: these rows were measured with {len(codes)} versions of vidfold ({', '.join(codes)}); the code "
            "of each method has not changed. Use an empty folder to measure all with one version."
        )
    return notes


def _difference(row: Row) -> str:
    value, low, high = (row[f"difference_mean{end}"] for end in ("", "_low", "_high"))
    if not value or row["method"] == FULL.method:
        return "-"
    return f"{100 * float(value):+.1f}" + (f" [{100 * float(low):+.1f}, {100 * float(high):+.1f}]" if low else "")


def _number(column: str, form: str, scale: float = 1) -> Callable[[Row], str]:
    return lambda row: form.format(scale * float(row[column])) if row[column] else "-"


_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "method": lambda row: "all tokens" if row["method"] == FULL.method else row["method"],
    "tokens": _number("tokens_after", "{:.4g}"),
    "kept": _number("layer_retention", "{:.1f} %", 100),
    "accuracy": lambda row: plus_minus(*(float(row[f"accuracy_mean{end}"] or "nan") for end in ("", "_se"))),
    "difference": _difference,
    "KL": _number("divergence", "{:.3f}"),
    "top-1": _number("top1", "{:.1f}", 100),
    "L2-NQE": _number("quantisation_error", "{:.3f}"),
    "covered": _number("coverage", "{:.1f}", 100),
    "transport": _number("transport", "{:.3f}"),
    "fold": _number("fold_ms", "{:.3g} ms"),
}
"""Column -> text of a row."""

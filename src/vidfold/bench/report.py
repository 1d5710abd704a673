"""Tables of a quality bench, for a terminal and in Markdown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vidfold.app.tables import table
from vidfold.bench.numbers import markdown_table, percent, plus_minus
from vidfold.bench.run import MEASURED, Results
from vidfold.bench.settings import FULL, Setting
from vidfold.bench.views import ERRORS, SIGNS, Marks, View, about_clips, against_full, mixed, provenance
from vidfold.bench.writing import Row
from vidfold.tiny.questions import KINDS

_LEGEND = (
    "tokens: number given to the language model per clip; kept: measured share that its layers read, averaged over "
    "layers; accuracy: mean over the kinds of question, all with the same weight, in %; difference: to all tokens on "
    "the same clips, in points, with its 95 % interval (1.96 standard errors); KL: divergence of the folded from the "
    "unfolded next-token distribution along the unfolded answers, in nats; top-1: share of positions with the same "
    "most likely token; L2-NQE: mean squared distance of unit tokens to the nearest kept one; covered: share of tokens "
    "with a kept one at cosine 0.90 or above; transport: entropic transport cost from all tokens to the kept ones; "
    "fold: median milliseconds of the method alone."
)
_TOO_MANY = " more tokens than requested: not comparable with the others"


@dataclass(frozen=True, eq=False)
class Group:
    """One model on one set of clips at one requested retention.

    Attributes:
        title: names them.
        view: their results.
        rows: measured rows: all tokens first, then best first.
        refused: why other methods could not run.
    """

    title: str
    view: View
    rows: list[Row]
    refused: list[str]

    def marks(self, kinds: tuple[str | None, ...] = (None,)) -> Marks:
        """Marks against all tokens."""
        answered = [_setting(row) for row in self.rows if row["accuracy_mean"]]
        return self.view.marks(against_full(answered), kinds)


def groups(results: Results) -> Iterator[Group]:
    """A group for every bench and retention."""
    for bench in results.plan.benches:
        folded = [each for each in results.plan.settings if each != FULL]
        for share in dict.fromkeys(each.retention for each in folded) or (FULL.retention,):
            rows = [results.cells[bench, each].row for each in folded if each.retention == share]
            measured = sorted((row for row in rows if row["status"] == MEASURED), key=merit, reverse=True)
            full = [row for row in [results.cells[bench, FULL].row] if row["status"] == MEASURED]
            title = f"{bench.loaded.name}, {bench.source.name}, {percent(share, 4)} of the tokens requested"
            refused = [f"{row['method']}: {row['status']}" for row in rows if row["status"] != MEASURED]
            yield Group(title, View(title, results, (bench,)), full + measured, refused)


def overview(results: Results) -> str:
    """Every group as an aligned table, and why some methods could not run."""
    parts = []
    for group in groups(results):
        notes = [f"*{_TOO_MANY}"] if any(map(_too_many, group.rows)) else []
        parts.append("\n".join([group.title, "", table(_measures(group)), *notes, *group.refused]))
    return "\n\n".join([*parts, *about_clips(results), *mixed(results.rows)])


def page(results: Results) -> str:
    """The same in Markdown, with accuracy by kind of question, a legend and the provenance."""
    parts = []
    for group in groups(results):
        parts += [f"### {group.title}", markdown_table(_measures(group))]
        if any(map(_too_many, group.rows)):
            parts.append(rf"\*{_TOO_MANY}")
        if any(row["accuracy_mean"] for row in group.rows):
            parts.append("Accuracy by kind of question, in %, with marks against all tokens:")
            parts.append(markdown_table(_kinds(group)))
        if group.refused:
            parts.append("\n".join(f"- {line}" for line in group.refused))
    about = [
        _LEGEND,
        ERRORS,
        f"Marks are against all tokens. {SIGNS}",
        *about_clips(results),
        *provenance(results.rows),
    ]
    return "\n\n".join([*parts, *about]) + "\n"


def merit(row: Row) -> float:
    """Sort key of rows: accuracy, or top-1 agreement if the true answers are not known, in [0, 1]."""
    return float(row["accuracy_mean"] or row["top1"])


def _measures(group: Group) -> list[list[str]]:
    marked = group.marks()
    lines = [list(_CELLS)]
    for row in group.rows:
        cells = {name: cell(row) for name, cell in _CELLS.items()}
        cells["difference"] = f"{cells['difference']} {marked.get((_setting(row), None), '')}".rstrip()
        lines.append(list(cells.values()))
    return lines


def _kinds(group: Group) -> list[list[str]]:
    marked = group.marks(KINDS)
    lines = [["method", *KINDS]]
    for row in group.rows:
        cells = (f"{_share(row, f'accuracy_{kind}')} {marked.get((_setting(row), kind), '')}" for kind in KINDS)
        lines.append([_CELLS["method"](row), *map(str.rstrip, cells)])
    return lines


def _setting(row: Row) -> Setting:
    return Setting(row["method"], float(row["asked"]))


def _share(row: Row, name: str) -> str:
    """A share in %, with its standard error if there is one."""
    return plus_minus(float(row[name] or "nan"), float(row[f"{name}_se"] or "nan"))


def _difference(row: Row) -> str:
    value, low, high = (row[f"difference_mean{end}"] for end in ("", "_low", "_high"))
    if not value or row["method"] == FULL.method:
        return "-"
    return f"{100 * float(value):+.1f}" + (f" [{100 * float(low):+.1f}, {100 * float(high):+.1f}]" if low else "")


def _too_many(row: Row) -> bool:
    """Whether the method kept over 5 % more than requested, and over one token more."""
    asked, kept, tokens = (float(row[name]) for name in ("asked", "layer_retention", "tokens_before"))
    return kept > 1.05 * asked and (kept - asked) * tokens > 1


def _decimal(name: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: format(scale * float(row[name]), form) if row[name] else "-"


_CELLS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: "all tokens" if row["method"] == FULL.method else row["method"],
    "tokens": _decimal("tokens_after", ".4g"),
    "kept": lambda row: _decimal("layer_retention", ".1f", 100)(row) + (" %*" if _too_many(row) else " %"),
    "accuracy": lambda row: _share(row, "accuracy_mean"),
    "difference": _difference,
    "KL": _decimal("divergence", ".3f"),
    "top-1": _decimal("top1", ".1f", 100),
    "L2-NQE": _decimal("quantisation_error", ".3f"),
    "covered": _decimal("coverage", ".1f", 100),
    "transport": _decimal("transport", ".3f"),
    "fold": lambda row: f"{float(row['fold_ms']):.3g} ms" if row["fold_ms"] else "-",
}
"""Column -> text of a row."""

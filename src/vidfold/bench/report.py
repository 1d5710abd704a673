"""The rows of a bench as tables: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vidfold.app.tables import table
from vidfold.bench.quality import MEASURED
from vidfold.bench.records import Row
from vidfold.bench.summary import RATED
from vidfold.reducers import Identity

BASELINE = Identity.name

_LEGEND = (
    "tokens: what the language model is given of a clip; kept: the share that its layers read, measured and on average "
    "over layers; "
    "accuracy: mean over the kinds of question, each weighing the same, in %, with its standard error over clips; "
    "difference: to the unfolded run on the same clips, in points, with the 95 % interval of a paired bootstrap over "
    "clips; KL: nats from the unfolded to the folded next-token distribution along the unfolded answers; top-1: share "
    "of positions with the same likeliest token; L2-NQE: mean squared distance of unit tokens to the nearest kept one; "
    "covered: share of tokens with a kept one at cosine 0.90; transport: entropic transport cost from all tokens to "
    "the kept ones; fold: median milliseconds of the method alone."
)

_TOO_MANY = " more than asked for: not to be compared with the others"


@dataclass(frozen=True)
class Group:
    """One model on one set of clips at one retention asked for.

    Attributes:
        title: says which.
        rows: that were measured, the unfolded baseline first, then the best first.
        refused: rows that could not run.
    """

    title: str
    rows: tuple[Row, ...]
    refused: tuple[Row, ...]


def groups(rows: Sequence[Row]) -> list[Group]:
    """Rows that may be compared with one another, by model, clips and retention."""
    settings = dict.fromkeys((*_bench(row), row["asked"]) for row in rows if row["method"] != BASELINE)
    made = []
    for *bench, asked in settings or dict.fromkeys((*_bench(row), row["asked"]) for row in rows):
        own = [row for row in rows if _bench(row) == tuple(bench)]
        full = [row for row in own if row["method"] == BASELINE]
        there = [row for row in own if row["asked"] == asked and row["method"] != BASELINE]
        measured = sorted((row for row in there if row["status"] == MEASURED), key=merit, reverse=True)
        title = f"{bench[0]}, {bench[1]}, {100 * float(asked):.4g} % of the tokens asked for"
        made.append(Group(title, (*full, *measured), tuple(row for row in there if row["status"] != MEASURED)))
    return made


def merit(row: Row) -> float:
    """What rows are sorted by: accuracy, or agreement where the true answers are not known; a share."""
    return float(row["accuracy_mean"] or row["top1"])


def overview(rows: Sequence[Row]) -> str:
    """Every group as an aligned table, with what refused and why."""
    columns = ("method", "tokens", "kept", "accuracy", "difference", "KL", "top-1", "L2-NQE", "covered", "transport")
    parts = []
    for group in groups(rows):
        body = table([(*columns, "fold"), *([_CELLS[name](row) for name in (*columns, "fold")] for row in group.rows)])
        notes = [f"*{_TOO_MANY}"] if any(map(_too_many, group.rows)) else []
        notes += [f"{row['method']}: {row['status']}" for row in group.refused]
        parts.append("\n".join([group.title, "", body, *notes]))
    return "\n\n".join([*parts, *mixed(rows)])


def markdown(rows: Sequence[Row]) -> str:
    """Every group as Markdown tables: all measures, then accuracy by kind of question; then what the columns mean."""
    parts = []
    for group in groups(rows):
        parts += [f"### {group.title}", _markdown(tuple(_CELLS), (_cells(row, _CELLS) for row in group.rows))]
        if any(map(_too_many, group.rows)):
            parts.append(rf"\*{_TOO_MANY}")
        if any(row["accuracy_mean"] for row in group.rows):
            head = ("method", *RATED[1:])
            kinds = (
                [_CELLS["method"](row), *(_share(row, f"accuracy_{kind}") for kind in head[1:])] for row in group.rows
            )
            parts += ["Accuracy by kind of question, in %:", _markdown(head, kinds)]
        if group.refused:
            parts.append("\n".join(f"- {row['method']}: {row['status']}" for row in group.refused))
    return "\n\n".join([*parts, _LEGEND, *_provenance(rows), *mixed(rows)]) + "\n"


def mixed(rows: Sequence[Row]) -> list[str]:
    """A warning, where some rows were measured by another state of the code than others."""
    codes = {row["code"] for row in rows}
    if len(codes) < 2:
        return []
    return [
        f"Caution: these rows were measured by {len(codes)} states of vidfold's code ({', '.join(sorted(codes))}); "
        "for one state give an empty folder."
    ]


def _bench(row: Row) -> tuple[str, ...]:
    names = ("model", "source", "weights", "dtype", "seed", "max_new_tokens")
    return tuple(row[name] for name in names)


def _cells(row: Row, columns: Iterable[str]) -> list[str]:
    return [_CELLS[column](row) for column in columns]


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" + "|---:" * (len(head) - 1) + "|", *lines[1:]])


def _provenance(rows: Sequence[Row]) -> list[str]:
    """Versions and machines, one line for each that occurs."""
    names = ("vidfold", "code", "torch", "transformers", "python", "processor", "threads", "device", "dtype", "weights")
    return list(dict.fromkeys("Measured with " + ", ".join(f"{name} {row[name]}" for name in names) for row in rows))


def _share(row: Row, name: str) -> str:
    """A share in %, with its standard error where there is one."""
    if not row[name]:
        return "-"
    error = f" ± {100 * float(row[f'{name}_se']):.1f}" if row[f"{name}_se"] else ""
    return f"{100 * float(row[name]):.1f}{error}"


def _difference(row: Row) -> str:
    name = "difference_mean"
    if not row[name] or row["method"] == BASELINE:
        return "-"
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    interval = f" [{100 * float(low):+.1f}, {100 * float(high):+.1f}]" if low else ""
    return f"{100 * float(value):+.1f}{interval}"


def _too_many(row: Row) -> bool:
    """Whether more was kept than asked for, rounding to a token and a twentieth aside."""
    asked, kept, tokens = (float(row[name]) for name in ("asked", "layer_retention", "tokens_before"))
    return kept > 1.05 * asked and (kept - asked) * tokens > 1


def _number(name: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: format(scale * float(row[name]), form) if row[name] else "-"


_CELLS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: "all tokens" if row["method"] == BASELINE else row["method"],
    "tokens": _number("tokens_after", ".4g"),
    "kept": lambda row: _number("layer_retention", ".1f", 100)(row) + (" %*" if _too_many(row) else " %"),
    "accuracy": lambda row: _share(row, "accuracy_mean"),
    "difference": _difference,
    "KL": _number("divergence", ".3f"),
    "top-1": _number("top1", ".1f", 100),
    "L2-NQE": _number("quantisation_error", ".3f"),
    "covered": _number("coverage", ".1f", 100),
    "transport": _number("transport", ".3f"),
    "fold": lambda row: f"{float(row['fold_ms']):.3g} ms" if row["fold_ms"] else "-",
}
"""Column -> how a row reads there."""

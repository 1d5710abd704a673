"""Tables of a bench, for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vidfold.app.tables import markdown_table, table
from vidfold.bench.quality import MEASURED
from vidfold.bench.records import Row
from vidfold.bench.summary import RATED
from vidfold.reducers import Identity

BASELINE = Identity.name

_LEGEND = (
    "tokens: number given to the language model per clip; kept: measured share that its layers read, averaged over "
    "layers; accuracy: mean over the kinds of question, all with the same weight, in %, with its standard error over "
    "clips; difference: to the unfolded run on the same clips, in points, with the 95 % interval of a paired bootstrap "
    "over clips; KL: divergence of the folded from the unfolded next-token distribution along the unfolded answers, in "
    "nats; top-1: share of positions with the same most likely token; L2-NQE: mean squared distance of unit tokens to "
    "the nearest kept one; covered: share of tokens with a kept one at cosine 0.90 or above; transport: entropic "
    "transport cost from all tokens to the kept ones; fold: median milliseconds of the method alone."
)

_TOO_MANY = " more tokens than requested: not comparable with the others"


@dataclass(frozen=True)
class Group:
    """One model on one set of clips at one requested retention.

    Attributes:
        title: names them.
        rows: measured rows, the unfolded baseline first, then best first.
        refused: rows that could not run.
    """

    title: str
    rows: tuple[Row, ...]
    refused: tuple[Row, ...]


def groups(rows: Sequence[Row]) -> list[Group]:
    """Groups of comparable rows, by model, clips and requested retention."""
    settings = dict.fromkeys((*_bench(row), row["asked"]) for row in rows if row["method"] != BASELINE)
    made = []
    for *bench, asked in settings or dict.fromkeys((*_bench(row), row["asked"]) for row in rows):
        own = [row for row in rows if _bench(row) == tuple(bench)]
        full = [row for row in own if row["method"] == BASELINE]
        there = [row for row in own if row["asked"] == asked and row["method"] != BASELINE]
        measured = sorted((row for row in there if row["status"] == MEASURED), key=merit, reverse=True)
        title = f"{bench[0]}, {bench[1]}, {100 * float(asked):.4g} % of the tokens requested"
        made.append(Group(title, (*full, *measured), tuple(row for row in there if row["status"] != MEASURED)))
    return made


def merit(row: Row) -> float:
    """Sort key of rows: accuracy, or top-1 agreement if the true answers are not known, in [0, 1]."""
    return float(row["accuracy_mean"] or row["top1"])


def overview(rows: Sequence[Row]) -> str:
    """Every group as an aligned table, and why some methods could not run."""
    columns = ("method", "tokens", "kept", "accuracy", "difference", "KL", "top-1", "L2-NQE", "covered", "transport")
    parts = []
    for group in groups(rows):
        body = table([(*columns, "fold"), *([_CELLS[name](row) for name in (*columns, "fold")] for row in group.rows)])
        notes = [f"*{_TOO_MANY}"] if any(map(_too_many, group.rows)) else []
        notes += [f"{row['method']}: {row['status']}" for row in group.refused]
        parts.append("\n".join([group.title, "", body, *notes]))
    return "\n\n".join([*parts, *mixed(rows)])


def markdown(rows: Sequence[Row]) -> str:
    """Every group as Markdown tables: all measures, accuracy by kind of question, then a legend."""
    parts = []
    for group in groups(rows):
        parts += [f"### {group.title}", markdown_table([tuple(_CELLS), *(_cells(row, _CELLS) for row in group.rows)])]
        if any(map(_too_many, group.rows)):
            parts.append(rf"\*{_TOO_MANY}")
        if any(row["accuracy_mean"] for row in group.rows):
            head = ("method", *RATED[1:])
            kinds = (
                [_CELLS["method"](row), *(_share(row, f"accuracy_{kind}") for kind in head[1:])] for row in group.rows
            )
            parts += ["Accuracy by kind of question, in %:", markdown_table([head, *kinds])]
        if group.refused:
            parts.append("\n".join(f"- {row['method']}: {row['status']}" for row in group.refused))
    return "\n\n".join([*parts, _LEGEND, *_provenance(rows), *mixed(rows)]) + "\n"


def mixed(rows: Sequence[Row]) -> list[str]:
    """A warning if the rows were measured with different versions of the code."""
    codes = {row["code"] for row in rows}
    if len(codes) < 2:
        return []
    return [
        f"Caution: these rows were measured with {len(codes)} versions of vidfold's code ({', '.join(sorted(codes))}); "
        "use an empty folder to measure all with one."
    ]


def _bench(row: Row) -> tuple[str, ...]:
    names = ("model", "source", "weights", "dtype", "seed", "max_new_tokens")
    return tuple(row[name] for name in names)


def _cells(row: Row, columns: Iterable[str]) -> list[str]:
    return [_CELLS[column](row) for column in columns]


def _provenance(rows: Sequence[Row]) -> list[str]:
    """Versions and machines, one line for each combination."""
    names = ("vidfold", "code", "torch", "transformers", "python", "processor", "threads", "device", "dtype", "weights")
    return list(dict.fromkeys("Measured with " + ", ".join(f"{name} {row[name]}" for name in names) for row in rows))


def _share(row: Row, name: str) -> str:
    """A share in %, with its standard error if there is one."""
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
    """Whether the method kept over 5 % more than requested, and over one token more."""
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
"""Column -> text of a row."""

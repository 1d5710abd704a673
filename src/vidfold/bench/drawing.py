"""Elements of the pictures: axes, lines, levels; markers and line styles differ, so grey prints work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidfold import extras
from vidfold.bench.records import Row
from vidfold.bench.report import BASELINE, merit
from vidfold.reducers import AOT, Random

Point = tuple[float, float]

INK = "#222222"
_GRID, _FRAME = "#E4E4E4", "#999999"


@dataclass(frozen=True)
class Style:
    """How one method is drawn; colours are from Okabe and Ito's colour-blind safe palette."""

    color: str
    marker: str
    line: str
    size: float = 5.0
    width: float = 1.6


MARKED = {AOT.name: Style("#0072B2", "s", "-"), Random.name: Style("#D55E00", "^", "--")}
"""Methods that are always highlighted."""
SHOWN = Style(INK, "o", "-")
"""The method a panel is about."""
OTHERS = tuple(
    Style("#777777", marker, line, 4.5, 1.1) for marker, line in (("o", "-."), ("D", ":"), ("v", "-."), ("X", ":"))
)
"""Styles of all other methods, in order."""


def panels(down: int, across: int, size: tuple[float, float], *, alike: bool = True) -> tuple[Any, Any]:
    """A Figure of ``size`` inches and its (down, across) Axes; ``alike``: they share the y axis."""
    figure = extras.load("matplotlib.figure", "bench").Figure(figsize=size, layout="constrained")
    extras.load("matplotlib.backends.backend_agg", "bench").FigureCanvasAgg(figure)  # this canvas can measure text
    axes = figure.subplots(down, across, sharey=alike, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(_FRAME)
        each.grid(axis="y", color=_GRID, linewidth=0.7)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8, color=_FRAME, labelleft=True)
    return figure, axes


def line(axes: Any, rows: Sequence[Row], method: str, style: Style, *, apart: float = 1.0) -> list[Point]:
    """Draw a method's quality over retention, with errors; ``apart`` scales retentions. Returns its points."""
    x, y, errors = _points(rows, method)
    x = [apart * share for share in x]
    axes.errorbar(
        x,
        y,
        errors,
        color=style.color,
        linestyle=style.line,
        linewidth=style.width,
        marker=style.marker,
        markersize=style.size,
        elinewidth=1,
        capsize=2.5,
        zorder=4,
    )
    return list(zip(x, y, strict=True))


def light_line(axes: Any, rows: Sequence[Row], method: str, style: Style) -> None:
    """The same as `line`, but thin and without errors, for comparison."""
    x, y, _ = _points(rows, method)
    axes.plot(x, y, color=style.color, linestyle=style.line, linewidth=1, marker=style.marker, markersize=3, alpha=0.55)


def point(axes: Any, row: Row, style: Style) -> Point:
    """Draw the quality of one row over its fold time, with its error. Returns the point."""
    x, y = float(row["fold_ms"]), 100 * merit(row)
    axes.errorbar(x, y, error(row), color=style.color, elinewidth=0.7, alpha=0.55, fmt="none", zorder=2)
    axes.plot(x, y, style.marker, color=style.color, markersize=style.size + 1, zorder=3)
    return x, y


def level(axes: Any, rows: Sequence[Row], *, label: bool = True) -> None:
    """Draw a horizontal line for the unfolded model, with its standard error as a band."""
    for row in (row for row in rows if row["method"] == BASELINE):
        height = 100 * merit(row)
        axes.axhspan(height - error(row), height + error(row), color="#000000", alpha=0.08, linewidth=0, zorder=0)
        axes.axhline(height, color=INK, linewidth=0.9, zorder=1)
        if label:
            start = axes.get_yaxis_transform()
            axes.annotate("all tokens", (0.012, height), (0, 2), start, textcoords="offset points", fontsize=8)


def retentions(axes: Any, rows: Sequence[Row]) -> None:
    """Make x a logarithmic axis of retention, the same for all methods; ticks at the requested retentions."""
    folded = [row for row in rows if row["method"] != BASELINE]
    asked = sorted({float(row["asked"]) for row in folded})
    kept = [*asked, *(float(row["layer_retention"]) for row in folded)]
    axes.set_xscale("log")
    axes.set_xlim(min(kept) / 1.25, max(kept) * 1.25)
    axes.set_xticks(asked, _apart(asked))
    axes.minorticks_off()


def legend(figure: Any, styles: dict[str, Style], *, full: bool) -> None:
    """Draw the legend above all panels."""
    handle = extras.load("matplotlib.lines", "bench").Line2D
    handles = [
        handle([], [], color=style.color, marker=style.marker, linestyle=style.line, label=name, markersize=4.5)
        for name, style in styles.items()
    ]
    handles += [handle([], [], color=INK, linewidth=0.9, label="all tokens")] if full else []
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)


def name_axes(figure: Any, across: str, rows: Sequence[Row]) -> None:
    """Label the axes, and name the model, the clips and the error bars."""
    marked = all(row["accuracy_mean"] for row in rows)
    figure.supylabel("right answers, %" if marked else "same most likely token as unfolded, %", fontsize=9)
    what = f"model {rows[0]['model']}, {rows[0]['source']}; bars: one standard error over clips"
    figure.supxlabel(f"{across}\n{what}", fontsize=9)


def error(row: Row) -> float:
    """Standard error of the quality, in %; 0 if there is none."""
    return 100 * float((row["accuracy_mean_se"] if row["accuracy_mean"] else row["top1_se"]) or 0)


def _points(rows: Sequence[Row], method: str) -> tuple[list[float], list[float], list[float]]:
    """Retentions, qualities and errors, in ascending order of retention."""
    own = sorted((row for row in rows if row["method"] == method), key=lambda row: float(row["layer_retention"]))
    return (
        [float(row["layer_retention"]) for row in own],
        [100 * merit(row) for row in own],
        [error(row) for row in own],
    )


def _apart(asked: Sequence[float]) -> list[str]:
    """The retentions in percent; blank if the label would overlap the one before."""
    labels, last = [], 0.0
    for share in sorted(asked):
        clear = share >= 1.6 * last
        labels.append(f"{100 * share:.3g}" if clear else "")
        last = share if clear else last
    return labels

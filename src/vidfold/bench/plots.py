"""Pictures: quality over retention and over fold time. Markers and line styles differ, so grey prints work."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.app.tables import percent
from vidfold.app.writing import Row
from vidfold.bench.results import MEASURED, Results
from vidfold.bench.settings import FULL
from vidfold.bench.summary import merit
from vidfold.reducers import AOT, Random
from vidfold.replacing import replacing

FORMATS = ("svg", "png")
ACROSS = 6
"""Maximum number of small panels per row."""

Style = dict[str, str]
"""Matplotlib's properties of a line. Colours are from Okabe and Ito's colour-blind safe palette."""

_INK, _GRID, _FRAME = "#222222", "#E4E4E4", "#999999"
_FIRST: Style = {"color": "#0072B2", "marker": "s", "linestyle": "-"}
_RANDOM: Style = {"color": "#D55E00", "marker": "^", "linestyle": "--"}
_SHOWN: Style = {"color": _INK, "marker": "o", "linestyle": "-"}
_OTHERS = {
    "color": ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777"),
    "marker": ("o", "D", "v", "X", "P", "<", ">"),
    "linestyle": ("-", "--", "-.", ":"),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw all pictures of a plan, as SVG and PNG; the same numbers give the same files. Returns the files written.

    A suite has right answers over retention; other plans have quality over retention and over fold time, for every
    bench.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    files = []
    with extras.load("matplotlib", "bench").rc_context({"svg.hashsalt": "vidfold", "font.size": 9}):
        for name, figure in _pictures(results).items():
            for form in FORMATS:
                files.append(folder / f"{name}.{form}")
                with replacing(files[-1]) as file:
                    figure.savefig(file, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None)
    return files


def _pictures(results: Results) -> dict[str, Any]:
    """File name -> Figure."""
    if results.plan.suite:
        return {"suite-retention": over_retention_by_bench(results)}
    pictures = {}
    for bench, rows in results.measured.items():
        own = re.sub(r"[^\w.]+", "-", f"-{Path(bench.loaded.name).name}-{bench.source.name}")
        end = "" if len(results.plan.benches) == 1 else own
        if folded := [row for row in rows if row["method"] != FULL.method]:
            pictures[f"quality-retention{end}"] = over_retention(rows)
        if any(row["fold_ms"] for row in folded):
            pictures[f"quality-time{end}"] = over_time(rows)
    return pictures


def over_retention(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality over measured retention, one panel per method."""
    best_first = sorted(rows, key=lambda row: (float(row["asked"]), -merit(row)[0]))
    methods = list(dict.fromkeys(row["method"] for row in best_first if row["method"] != FULL.method))
    marked = {name: style for name, style in ((AOT.name, _FIRST), (Random.name, _RANDOM)) if name in methods}
    figure = _curves({method: (method, rows) for method in methods}, marked, min(len(methods), ACROSS))
    _legend(figure, {"method of the panel": _SHOWN, **marked})
    order = f"methods from best to worst at {percent(float(best_first[0]['asked']))}"
    _name_axes(figure, f"tokens kept, %, as measured; {order}", rows)
    return figure


def over_retention_by_bench(results: Results) -> Any:
    """A matplotlib Figure of right answers over the measured share of tokens kept, a panel per method.

    Every panel has a line for each model and world, and in grey those of the first method.
    """
    methods = list(dict.fromkeys(each.method for each in results.plan.folded))
    benches = {
        f"model {bench.loaded.name}, {bench.source.world} world": rows
        for bench, rows in sorted(results.measured.items(), key=lambda each: each[0].source.world)
    }
    return over_retention_by_method(methods, benches, f"suite {results.plan.suite}")


def over_retention_by_method(methods: Sequence[str], benches: Mapping[str, Sequence[Row]], clips: str) -> Any:
    """The picture of `over_retention_by_bench`, of rows by the name of their bench."""
    across = min(len(methods), ACROSS // 2)
    down, first = -(-len(methods) // across), methods[0]
    figure, grid = panels(down, across, (0.6 + 3.4 * across, 1.4 + 2.4 * down), used=len(methods))
    styles = dict(zip(benches, distinct(list(benches)).values(), strict=True))
    for axes, method in zip(grid.flat, methods, strict=False):
        for bench, rows in benches.items():
            for name, style in (
                (first, {"color": _GRID, "linewidth": 2.5, "zorder": 1}),
                (method, {**styles[bench], "linewidth": 1.2, "markersize": 3.5}),
            ):
                own = sorted(
                    (row for row in rows if row["method"] == name), key=lambda row: float(row["layer_retention"])
                )
                axes.plot([float(row["layer_retention"]) for row in own], [merit(row)[0] for row in own], **style)
        _retentions(axes, [row for rows in benches.values() for row in rows])
        axes.set_title(method, fontsize=9.5, pad=4)
    _legend(figure, styles, {f"{first}, in every panel": {"color": _GRID, "linestyle": "-"}})
    full = [merit(row)[0] for rows in benches.values() for row in rows if row["method"] == FULL.method]
    told = f"; with all tokens {min(full):.1f} to {max(full):.1f}" if full else ""
    _name_axes(figure, f"tokens kept, %, as measured{told}", next(iter(benches.values())), clips, bars=None)
    return figure


def over_time(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality and of the time of one fold: a row per method, the best first.

    One panel per requested retention has the quality, all on one axis, and the last one the milliseconds. A method that
    works inside the language model has no time of its own.
    """
    folded = sorted((row for row in rows if row["method"] != FULL.method), key=merit, reverse=True)
    asked = sorted({row["asked"] for row in folded}, key=float)
    order = sorted(folded, key=lambda row: (float(row["asked"]), -merit(row)[0]))
    methods = list(dict.fromkeys(row["method"] for row in order))
    colors = {AOT.name: _FIRST["color"], Random.name: _RANDOM["color"]}
    figure, grid = panels(1, len(asked) + 1, (2.2 + 2.6 * (len(asked) + 1), 1.3 + 0.23 * len(methods)))
    what, (*qualities, times) = _measure(rows), grid.flat
    for share, axes in zip(asked, qualities, strict=True):
        for row in (row for row in folded if row["asked"] == share):
            value, error = merit(row)
            place, color = methods.index(row["method"]), colors.get(row["method"], _INK)
            axes.errorbar(value, place, xerr=error, color=color, marker="o", markersize=4, elinewidth=0.8)
            if row["fold_ms"]:
                filled = color if share == asked[0] else "white"
                times.plot(float(row["fold_ms"]), place, color=color, marker="o", markersize=4, markerfacecolor=filled)
        for row in (row for row in rows if row["method"] == FULL.method):
            axes.axvline(merit(row)[0], color=_INK, linewidth=0.9, zorder=0)
        axes.set_title(f"{what}, at {percent(float(share))} of the tokens", fontsize=9)
        axes.sharex(qualities[0])
    times.set_xscale("log")
    times.xaxis.set_major_formatter("{x:g}")
    others = " and ".join(percent(float(share)) for share in asked[1:])
    hollow = f"; hollow: {others}" if others else ""
    times.set_title(f"milliseconds per fold, median{hollow}", fontsize=9)
    grid.flat[0].set_yticks(range(len(methods)), methods)
    grid.flat[0].invert_yaxis()
    for axes in grid.flat[1:]:
        axes.tick_params(labelleft=False)
    figure.supxlabel(
        f"model {rows[0]['model']}, {rows[0]['source']}; line: all tokens; bars: one standard error over clips",
        fontsize=9,
    )
    return figure


def panels(
    down: int, across: int, size: tuple[float, float], *, alike: bool = True, used: int | None = None
) -> tuple[Any, Any]:
    """A Figure of ``size`` inches and its (down, across) Axes; ``alike``: they share the y axis; the first are used."""
    figure = extras.load("matplotlib.figure", "bench").Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, sharey=alike, squeeze=False)
    for each in grid.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(_FRAME)
        each.grid(axis="y", color=_GRID, linewidth=0.7)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8, color=_FRAME, labelleft=True)
    for each in grid.flat[used:] if used else ():
        each.set_axis_off()
    return figure, grid


def distinct(methods: Sequence[str]) -> dict[str, Style]:
    """Styles of the methods: the first one highlighted, the others differ in colour, marker and line."""
    styles = {methods[0]: _FIRST}
    for place, method in enumerate(methods[1:]):
        own = {name: values[place % len(values)] for name, values in _OTHERS.items()}
        styles[method] = _RANDOM if method == Random.name else own
    return styles


def _curves(shown: Mapping[str, tuple[str, Sequence[Row]]], styles: Mapping[str, Style], across: int) -> Any:
    """Panels by title with quality over retention: one method with its errors, the ones with a style as thin lines."""
    down, (width, height) = -(-len(shown) // across), (4.6, 3.2) if across <= 2 else (2.1, 1.85)
    figure, grid = panels(down, across, (0.6 + width * across, 1.2 + height * down), used=len(shown))
    for axes, (title, (method, rows)) in zip(grid.flat, shown.items(), strict=False):
        _level(axes, rows)
        for name in dict.fromkeys([*styles, method]):
            own = sorted((row for row in rows if row["method"] == name), key=lambda row: float(row["layer_retention"]))
            kept, style = [float(row["layer_retention"]) for row in own], styles.get(name, _SHOWN)
            values, errors = [[merit(row)[part] for row in own] for part in (0, 1)]
            if name != method:
                axes.plot(kept, values, **style, linewidth=1, markersize=3, alpha=0.55)
            else:
                thick = {"linewidth": 1.8, "markersize": 5, "elinewidth": 1, "capsize": 2.5, "zorder": 4}
                axes.errorbar(kept, values, errors, **style, **thick)
        _retentions(axes, rows)
        axes.set_title(title, fontsize=9.5, color=styles[title]["color"] if title in styles else _INK, pad=4)
    return figure


def _level(axes: Any, rows: Sequence[Row]) -> None:
    """Draw a horizontal line for the unfolded model, with its standard error as a band."""
    for row in (row for row in rows if row["method"] == FULL.method):
        height, error = merit(row)
        axes.axhspan(height - error, height + error, color="#000000", alpha=0.08, linewidth=0, zorder=0)
        axes.axhline(height, color=_INK, linewidth=0.9, zorder=1)


def _retentions(axes: Any, rows: Sequence[Row]) -> None:
    """Make x a logarithmic axis of retention, the same for all methods; ticks at the requested retentions."""
    folded = [row for row in rows if row["method"] != FULL.method]
    asked = sorted({float(row["asked"]) for row in folded})
    kept = [*asked, *(float(row["layer_retention"]) for row in folded)]
    axes.set_xscale("log")
    axes.set_xlim(min(kept, default=0.05) / 1.25, max(kept, default=1) * 1.25)
    axes.set_xticks(asked, [f"{100 * share:.3g}" for share in asked], fontsize=6.5)
    axes.minorticks_off()


def _legend(figure: Any, styles: Mapping[str, Style], last: Mapping[str, Style] | None = None) -> None:
    """Draw the legend above all panels; its last entry is the line of all tokens, or another."""
    line = extras.load("matplotlib.lines", "bench").Line2D
    last = {"all tokens": {"color": _INK, "linestyle": "-"}} if last is None else last
    handles = [line([], [], label=name, markersize=4.5, **style) for name, style in {**styles, **last}.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), frameon=False, fontsize=9)


def _name_axes(figure: Any, across: str, rows: Sequence[Row], clips: str = "", bars: str | None = "") -> None:
    """Label the axes, and name the model, the clips and, if there are any, the error bars."""
    figure.supylabel(_measure(rows), fontsize=9)
    clips = clips or f"model {rows[0]['model']}, {rows[0]['source']}"
    errors = "" if bars is None else f"; bars: one standard error over clips{bars}"
    figure.supxlabel(f"{across}\n{clips}{errors}", fontsize=9)


def _measure(rows: Sequence[Row]) -> str:
    """What is shown of the rows."""
    answered = all(row["accuracy_mean"] for row in rows if row["status"] == MEASURED)
    return "right answers, %" if answered else "same most likely token as unfolded, %"

"""Pictures: quality over retention and over fold time. Markers and line styles differ, so grey prints work."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.bench.numbers import percent
from vidfold.bench.report import merit
from vidfold.bench.run import MEASURED, Results
from vidfold.bench.settings import FULL
from vidfold.bench.writing import Row, replacing
from vidfold.reducers import AOT, Random

FORMATS = ("svg", "png")
ACROSS = (5, 6, 4)
"""Possible numbers of panels per row; the one with the fewest empty places is used."""

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
"""Styles of a few other methods, in order."""
_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
_MARKERS, _LINES = ("o", "D", "v", "X", "P", "<", ">"), ("-", "--", "-.", ":")


def quality(results: Results, folder: Path) -> list[Path]:
    """Draw quality over retention and over fold time for every bench, as SVG and PNG; returns the files written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    pictures: dict[str, Any] = {}
    for bench in results.plan.benches:
        rows = [results.cells[bench, each].row for each in results.plan.settings]
        rows = [row for row in rows if row["status"] == MEASURED]
        own = re.sub(r"[^\w.]+", "-", f"-{Path(bench.loaded.name).name}-{bench.source.name}")
        end = "" if len(results.plan.benches) == 1 else own
        if any(row["method"] != FULL.method for row in rows):
            pictures[f"quality-retention{end}"] = over_retention, rows
        if any(row["fold_ms"] for row in rows if row["method"] != FULL.method):
            pictures[f"quality-time{end}"] = over_time, rows
    return _written(pictures, folder)


def suite(results: Results, folder: Path) -> list[Path]:
    """Draw right answers over retention, a panel per model and world, as SVG and PNG; returns the files written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return _written({"suite-retention": (over_retention_by_bench, results)}, folder)


def over_retention(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality over measured retention, one panel per method."""
    best_first = sorted(rows, key=lambda row: (float(row["asked"]), -merit(row)))
    methods = list(dict.fromkeys(row["method"] for row in best_first if row["method"] != FULL.method))
    across = min(len(methods), min(ACROSS, key=lambda number: -len(methods) % number))
    down = -(-len(methods) // across)
    figure, grid = panels(down, across, (0.6 + max(2.1 * across, 5.4), 0.7 + max(1.85 * down, 2.8)))
    marked = {name: style for name, style in MARKED.items() if name in methods}
    for axes, method in zip(grid.flat, methods, strict=False):
        _level(axes, rows)
        for name, style in marked.items():
            if name != method:
                _line(axes, rows, name, style, light=True)
        style = MARKED.get(method, SHOWN)
        _line(axes, rows, method, style)
        _retentions(axes, rows)
        axes.set_title(method, fontsize=9.5, fontweight="bold", color=style.color, pad=4)
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    _legend(figure, {"method of the panel": SHOWN, **marked})
    order = f"methods from best to worst at {percent(float(best_first[0]['asked']))}"
    _name_axes(figure, f"tokens kept, %, as measured; {order}", rows)
    return figure


def over_time(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality over the time of one fold, with one panel per requested retention."""
    folded = sorted((row for row in rows if row["method"] != FULL.method and row["fold_ms"]), key=merit)
    asked = sorted({row["asked"] for row in folded}, key=float)
    down, across = -(-len(asked) // 2), min(2, len(asked))
    figure, grid = panels(down, across, (5.8 * across, 0.4 + 5 * down), alike=False)
    for axes, share in zip(grid.flat, asked, strict=False):
        _level(axes, rows)
        points = {}
        for row in (row for row in folded if row["asked"] == share):
            style = MARKED.get(row["method"], OTHERS[0])
            point = float(row["fold_ms"]), 100 * merit(row)
            axes.errorbar(*point, _error(row), color=style.color, elinewidth=0.7, alpha=0.55, fmt="none", zorder=2)
            axes.plot(*point, style.marker, color=style.color, markersize=style.size + 1, zorder=3)
            points[row["method"]] = point
        axes.set_xscale("log")
        axes.margins(x=0.16, y=0.08)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}" if _narrow(points) else "")
        axes.set_title(f"{percent(float(share))} of the tokens requested", fontsize=10)
        place_labels(axes, points)
    for axes in grid.flat[len(asked) :]:
        axes.set_axis_off()
    _name_axes(figure, "milliseconds per fold, median over clips", rows)
    return figure


def over_retention_by_bench(results: Results) -> Any:
    """A matplotlib Figure of right answers over the measured share of tokens kept, a panel per model and world."""
    benches = results.plan.benches
    across = len({bench.loaded.name for bench in benches})
    down = len(benches) // across
    figure, grid = panels(down, across, (4.6 * across, 1.3 + 3.2 * down))
    styles = distinct(list(dict.fromkeys(each.method for each in results.plan.settings if each != FULL)))
    first, *others = styles
    for axes, bench in zip(grid.T.flat, benches, strict=True):
        rows = [results.cells[bench, each].row for each in results.plan.settings]
        rows = [row for row in rows if row["status"] == MEASURED]
        _level(axes, rows)
        for method in others:
            _line(axes, rows, method, styles[method], light=True)
        _line(axes, rows, first, styles[first])
        _retentions(axes, rows)
        axes.set_title(f"model {bench.loaded.name}, {bench.source.world} world", fontsize=10)
    _legend(figure, styles)
    figure.supylabel("right answers, %", fontsize=9)
    what = f"suite {results.plan.suite}; bars: one standard error over clips, for {first}"
    figure.supxlabel(f"tokens kept, %, as measured\n{what}", fontsize=9)
    return figure


def panels(down: int, across: int, size: tuple[float, float], *, alike: bool = True) -> tuple[Any, Any]:
    """A Figure of ``size`` inches and its (down, across) Axes; ``alike``: they share the y axis."""
    figure = extras.load("matplotlib.figure", "bench").Figure(figsize=size, layout="constrained")
    extras.load("matplotlib.backends.backend_agg", "bench").FigureCanvasAgg(figure)  # this canvas can measure text
    grid = figure.subplots(down, across, sharey=alike, squeeze=False)
    for each in grid.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(_FRAME)
        each.grid(axis="y", color=_GRID, linewidth=0.7)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8, color=_FRAME, labelleft=True)
    return figure, grid


def distinct(methods: Sequence[str]) -> dict[str, Style]:
    """Styles of the methods: the first one highlighted, the others differ in colour, marker and line."""
    styles = {methods[0]: Style("#0072B2", "s", "-", 5.0, 2.0)}
    for place, method in enumerate(methods[1:]):
        own = Style(_COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)])
        styles[method] = own if method == AOT.name else MARKED.get(method, own)
    return styles


def place_labels(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Label points so that labels cover neither each other nor the points: each takes the nearest free place.

    Args:
        axes: a matplotlib Axes that already holds the points and has its final limits.
        points: label -> data coordinates.
    """
    axes.figure.canvas.draw()  # the layout determines pixel positions
    renderer, unit = axes.figure.canvas.get_renderer(), axes.figure.dpi / 72
    pixels = {label: axes.transData.transform(point) for label, point in points.items()}
    taken = [(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit) for x, y in pixels.values()]
    frame = axes.get_window_extent(renderer).extents
    for label, point in points.items():
        note = axes.annotate(label, point, (0, 0), textcoords="offset points", fontsize=7.5, ha="center", va="center")
        size = note.get_window_extent(renderer)
        x, y = pixels[label]
        best, least = (0.0, 9.0), math.inf
        for right, up in _around(size.width / unit):
            middle = x + right * unit, y + up * unit
            half = size.width / 2, size.height / 2
            box = middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]
            covered = size.width * size.height - _overlap(box, frame) + sum(_overlap(box, other) for other in taken)
            if round(covered) < least:  # whole pixels, so that rounding does not change the place
                best, least, chosen = (right, up), round(covered), box
        taken.append(chosen)
        note.set_position(best)
        if math.hypot(*best) > size.width / unit / 2 + 12:
            line = {"arrowstyle": "-", "color": INK, "linewidth": 0.5, "alpha": 0.7, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", point, best, textcoords="offset points", zorder=1, arrowprops=line)


def _around(width: float) -> list[tuple[float, float]]:
    """Places for the middle of a label, in typographic points from its point: the sides, then growing ellipses."""
    spots = [(6 + width / 2, 0.0), (-6 - width / 2, 0.0), (0.0, 9.0), (0.0, -9.0)]
    for radius in (9, 15, 21, 28, 36, 46):
        turns = (math.pi * step / 8 for step in range(16))
        spots += [((radius + width / 2) * math.cos(turn), radius * math.sin(turn)) for turn in turns]
    return spots


def _narrow(points: Mapping[str, tuple[float, float]]) -> bool:
    """Whether the times may lie between two powers of ten, so that these are too few ticks."""
    times = [x for x, _ in points.values()]
    return max(times) < 10 * min(times)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    return max(width, 0) * max(min(one[3], other[3]) - max(one[1], other[1]), 0)


def _written(pictures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw every picture and save it in all formats; the same numbers give the same files."""
    matplotlib, files = extras.load("matplotlib", "bench"), []
    with matplotlib.rc_context({"svg.hashsalt": "vidfold", "font.size": 9}):
        for name, (draw, content) in pictures.items():
            figure = draw(content)
            for form in FORMATS:
                files.append(folder / f"{name}.{form}")
                with replacing(files[-1]) as file:
                    metadata = {"Date": None} if form == "svg" else None
                    figure.savefig(file, format=form, dpi=160, metadata=metadata)
    return files


def _line(axes: Any, rows: Sequence[Row], method: str, style: Style, *, light: bool = False) -> None:
    """Draw a method's quality over retention, with errors; ``light``: thin and without them, for comparison."""
    own = sorted((row for row in rows if row["method"] == method), key=lambda row: float(row["layer_retention"]))
    points = [float(row["layer_retention"]) for row in own], [100 * merit(row) for row in own]
    look: dict[str, Any] = {"color": style.color, "linestyle": style.line, "marker": style.marker}
    if light:
        axes.plot(*points, linewidth=1, markersize=3, alpha=0.55, **look)
    else:
        errors, look = [_error(row) for row in own], look | {"linewidth": style.width, "markersize": style.size}
        axes.errorbar(*points, errors, elinewidth=1, capsize=2.5, zorder=4, **look)


def _level(axes: Any, rows: Sequence[Row]) -> None:
    """Draw a horizontal line for the unfolded model, with its standard error as a band."""
    for row in (row for row in rows if row["method"] == FULL.method):
        height = 100 * merit(row)
        axes.axhspan(height - _error(row), height + _error(row), color="#000000", alpha=0.08, linewidth=0, zorder=0)
        axes.axhline(height, color=INK, linewidth=0.9, zorder=1)


def _retentions(axes: Any, rows: Sequence[Row]) -> None:
    """Make x a logarithmic axis of retention, the same for all methods; ticks at the requested retentions."""
    folded = [row for row in rows if row["method"] != FULL.method]
    asked = sorted({float(row["asked"]) for row in folded})
    kept = [*asked, *(float(row["layer_retention"]) for row in folded)]
    labels, last = [], 0.0
    for share in asked:  # a label that would overlap the one before is omitted
        labels.append(f"{100 * share:.3g}" if share >= 1.6 * last else "")
        last = share if labels[-1] else last
    axes.set_xscale("log")
    axes.set_xlim(min(kept, default=0.05) / 1.25, max(kept, default=1) * 1.25)
    axes.set_xticks(asked, labels)
    axes.minorticks_off()


def _legend(figure: Any, styles: Mapping[str, Style]) -> None:
    """Draw the legend above all panels."""
    handle = extras.load("matplotlib.lines", "bench").Line2D
    handles = [
        handle([], [], color=style.color, marker=style.marker, linestyle=style.line, label=name, markersize=4.5)
        for name, style in styles.items()
    ]
    handles.append(handle([], [], color=INK, linewidth=0.9, label="all tokens"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), frameon=False, fontsize=9)


def _name_axes(figure: Any, across: str, rows: Sequence[Row]) -> None:
    """Label the axes, and name the model, the clips and the error bars."""
    answered = all(row["accuracy_mean"] for row in rows)
    figure.supylabel("right answers, %" if answered else "same most likely token as unfolded, %", fontsize=9)
    what = f"model {rows[0]['model']}, {rows[0]['source']}; bars: one standard error over clips"
    figure.supxlabel(f"{across}\n{what}", fontsize=9)


def _error(row: Row) -> float:
    """Standard error of the quality, in %; 0 if there is none."""
    return 100 * float((row["accuracy_mean_se"] if row["accuracy_mean"] else row["top1_se"]) or 0)

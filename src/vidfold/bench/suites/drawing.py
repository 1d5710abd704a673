"""Pictures of a suite: accuracy over retention, one panel per model and world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.bench import drawing
from vidfold.bench.drawing import MARKED, Style
from vidfold.bench.pictures import FORMATS
from vidfold.bench.suites.plan import MODELS
from vidfold.bench.suites.running import Results
from vidfold.reducers import AOT

NAME = "suite-retention"
COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
"""Colours of methods without a fixed style, from Okabe and Ito's palette as in `vidfold.bench.drawing`."""
MARKERS = ("o", "D", "v", "X", "P", "<", ">")
LINES = ("-", "--", "-.", ":")

_FIRST = Style("#0072B2", "s", "-", 5.0, 2.0)
_NAMES = 5  # legend entries per row


def draw(results: Results, folder: str | Path) -> list[Path]:
    """Draw a suite as SVG and PNG; returns the files written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    matplotlib = extras.load("matplotlib", "bench")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{NAME}.{form}" for form in FORMATS]
    with matplotlib.rc_context({"svg.hashsalt": "vidfold", "font.size": 9}):
        picture = over_retention(results)
        for file in files:
            # Without the date, the same numbers give the same file.
            picture.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def over_retention(results: Results) -> Any:
    """A matplotlib Figure of accuracy over the measured share of tokens kept."""
    plan = results.plan
    down, across = len(plan.suite.worlds), len(MODELS)
    figure, panels = drawing.panels(down, across, (4.6 * across, 1.3 + 3.2 * down))
    styles = style(plan.methods)
    first, *others = styles
    places = ((row, column) for column in range(across) for row in range(down))
    for place, case in zip(places, plan.cases(), strict=True):
        axes = panels[place]
        rows = [row for row in results.rows if (row["model"], row["world"]) == (case.model, case.world)]
        drawing.level(axes, rows)
        for method in others:
            drawing.light_line(axes, rows, method, styles[method])
        drawing.line(axes, rows, first, styles[first])
        drawing.retentions(axes, rows)
        axes.set_title(f"model {case.model}, {case.world} world", fontsize=10)
    _legend(figure, styles)
    figure.supylabel("right answers, %", fontsize=9)
    what = f"suite {plan.suite.name}, {plan.clips} clips per world; bars: one standard error over clips, for {first}"
    figure.supxlabel(f"tokens kept, %, as measured\n{what}", fontsize=9)
    return figure


def style(methods: Sequence[str]) -> dict[str, Style]:
    """Styles of the methods: the first one highlighted, the others differ in colour, marker and line."""
    styles = {methods[0]: _FIRST}
    for place, method in enumerate(methods[1:]):
        own = Style(COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)], LINES[place % len(LINES)])
        styles[method] = own if method == AOT.name else MARKED.get(method, own)
    return styles


def _legend(figure: Any, styles: dict[str, Style]) -> None:
    handle = extras.load("matplotlib.lines", "bench").Line2D
    handles = [
        handle([], [], color=look.color, marker=look.marker, linestyle=look.line, label=name, markersize=4)
        for name, look in styles.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=_NAMES, frameon=False, fontsize=9)

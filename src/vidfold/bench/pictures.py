"""Pictures of a bench: quality over retention, and quality over fold time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.app.tables import percent
from vidfold.bench import drawing
from vidfold.bench.drawing import MARKED, OTHERS, SHOWN
from vidfold.bench.labels import Point, place
from vidfold.bench.quality import MEASURED
from vidfold.bench.records import Row
from vidfold.bench.report import BASELINE, merit

FORMATS = ("svg", "png")
FEW = len(OTHERS)
"""Methods up to this number share one panel; more get a panel each."""
ACROSS = (5, 6, 4)
"""Possible numbers of panels per row; the one with the fewest empty places is used."""
_APART, _ROOM = 1.012, 0.15


def draw(rows: Sequence[Row], folder: str | Path) -> list[Path]:
    """Draw the pictures of every model and set of clips, as SVG and PNG.

    Args:
        rows: from `vidfold.bench.quality.quality`.
        folder: where to write; created if it is missing.

    Returns:
        The files written; none if no method was measured.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    matplotlib = extras.load("matplotlib", "bench")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    measured = [row for row in rows if row["status"] == MEASURED]
    benches = dict.fromkeys((row["model"], row["source"]) for row in measured if row["method"] != BASELINE)
    written: list[Path] = []
    with matplotlib.rc_context({"svg.hashsalt": "vidfold", "font.size": 9}):
        for model, source in benches:
            own = [row for row in measured if (row["model"], row["source"]) == (model, source)]
            end = "" if len(benches) == 1 else "-" + re.sub(r"[^\w.]+", "-", f"{Path(model).name}-{source}")
            made = {"retention": over_retention(own)}
            if any(row["fold_ms"] for row in own if row["method"] != BASELINE):
                made["time"] = over_time(own)
            for name, picture in made.items():
                for form in FORMATS:
                    written.append(folder / f"quality-{name}{end}.{form}")
                    # Without the date, the same numbers give the same file.
                    picture.savefig(written[-1], dpi=160, metadata={"Date": None} if form == "svg" else None)
    return written


def over_retention(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality over measured retention: one panel for a few methods, else one per method."""
    best_first = sorted(rows, key=lambda row: (float(row["asked"]), -merit(row)))
    methods = list(dict.fromkeys(row["method"] for row in best_first if row["method"] != BASELINE))
    return _together(rows, methods) if len(methods) <= FEW else _one_each(rows, methods, float(best_first[0]["asked"]))


def over_time(rows: Sequence[Row]) -> Any:
    """A matplotlib Figure of quality over the time of one fold, with one panel per requested retention."""
    folded = sorted((row for row in rows if row["method"] != BASELINE and row["fold_ms"]), key=merit)
    asked = sorted({row["asked"] for row in folded}, key=float)
    down = -(-len(asked) // 2)
    across = min(2, len(asked))
    figure, panels = drawing.panels(down, across, (5.8 * across, 0.4 + 5 * down), alike=False)
    for axes, share in zip(panels.flat, asked, strict=False):
        drawing.level(axes, rows)
        points = []
        for row in (row for row in folded if row["asked"] == share):
            style = MARKED.get(row["method"], OTHERS[0])
            points.append((drawing.point(axes, row, style), row["method"], MARKED.get(row["method"], SHOWN).color))
        axes.set_xscale("log")
        axes.margins(x=0.16, y=0.08)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(f"{percent(float(share))} of the tokens requested", fontsize=10)
        place(axes, points)
    for axes in panels.flat[len(asked) :]:
        axes.set_axis_off()
    drawing.name_axes(figure, "milliseconds per fold, median over clips", rows)
    return figure


def _together(rows: Sequence[Row], methods: Sequence[str]) -> Any:
    figure, ((axes,),) = drawing.panels(1, 1, (6.4, 4.2))
    drawing.level(axes, rows)
    others = iter(OTHERS)
    starts: list[Point] = []
    ends: list[Point] = []
    for order, method in enumerate(methods):
        style = MARKED.get(method) or next(others)
        points = drawing.line(axes, rows, method, style, apart=_APART ** (order - (len(methods) - 1) / 2))
        starts.append((points[0], method, style.color))
        ends.append((points[-1], method, style.color))
    drawing.retentions(axes, rows)
    # Put labels at the end where the lines are farther apart, and make room for them.
    low, high = axes.get_xlim()
    room = (high / low) ** _ROOM
    if _spread(starts) > _spread(ends):
        axes.set_xlim(left=low / room)
        place(axes, starts, "left")
    else:
        axes.set_xlim(right=high * room)
        place(axes, ends, "right")
    drawing.name_axes(figure, "tokens kept, %, as measured (points at the same retention are shifted slightly)", rows)
    return figure


def _spread(points: Sequence[Point]) -> float:
    heights = [height for (_, height), *_ in points]
    return max(heights) - min(heights)


def _one_each(rows: Sequence[Row], methods: Sequence[str], least: float) -> Any:
    across = min(ACROSS, key=lambda number: -len(methods) % number)
    down = -(-len(methods) // across)
    figure, panels = drawing.panels(down, across, (0.3 + 2.1 * across, 0.7 + 1.85 * down))
    highlighted = {name: style for name, style in MARKED.items() if name in methods}
    for axes, method in zip(panels.flat, methods, strict=False):
        drawing.level(axes, rows, label=False)
        for name, style in highlighted.items():
            if name != method:
                drawing.light_line(axes, rows, name, style)
        style = MARKED.get(method, SHOWN)
        drawing.line(axes, rows, method, style)
        drawing.retentions(axes, rows)
        axes.set_title(method, fontsize=9.5, fontweight="bold", color=style.color, pad=4)
    for axes in panels.flat[len(methods) :]:
        axes.set_axis_off()
    full = any(row["method"] == BASELINE for row in rows)
    drawing.legend(figure, {"method of the panel": SHOWN, **highlighted}, full=full)
    order = f"methods from best to worst at {percent(least)}"
    drawing.name_axes(figure, f"tokens kept, %, as measured; {order}", rows)
    return figure

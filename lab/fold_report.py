"""What `lab.fold` measured, as tables and a picture."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vidfold.app.tables import amount, duration
from vidfold.bench.plots import distinct, panels

THEIRS = AUTHORS, WITH_GEMM = "authors' way", "authors' way, product"
"""The ways that the others are compared with."""


@dataclass(frozen=True)
class Measured:
    """Measurements of one way on one video."""

    frames: int
    cells: int
    way: str
    kept: int
    milliseconds: list[float]
    memory: int

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def size(self) -> int:
        """Tokens of the video."""
        return self.frames * self.cells


def rows(measured: list[Measured], skipped: list[str], shape: list[str], least: float) -> list[list[str]]:
    """One row per way, and the floor, for one video of so many frames and cells."""
    theirs = {each.way: each.milliseconds for each in measured if each.way in THEIRS}
    found = []
    for each in measured:
        own = [*shape, each.way, str(each.kept), spread(each.milliseconds, duration), amount(each.memory, "B")]
        for other in THEIRS:
            pairs = zip(theirs.get(other, []), each.milliseconds, strict=False)
            ratios = [] if each.way in THEIRS else [slow / quick for slow, quick in pairs]
            own.append(spread(ratios, times_as_long) if ratios else "-")
        found.append(own)
    found += [[*shape, name, *"-----"] for name in skipped]
    return [*found, [*shape, "floor", "-", duration(least), "-", "-", "-"]]


def side_by_side(
    measured: list[Measured],
    ways: Iterable[str],
    heads: dict[int, str],
    value: Callable[[Measured], float],
    show: Callable[[float], str],
) -> list[list[str]]:
    """One row per way: a value for each video, by its number of tokens, and the exponent of the growth."""
    found = [["fold", *heads.values(), "power"]]
    for name in ways:
        own = {each.size: each for each in measured if each.way == name}
        power = f"{slope(list(own.values()), value):.2f}" if len(own) > 1 else "-"
        found.append([name, *(show(value(own[size])) if size in own else "-" for size in heads), power])
    return found


def spread(values: list[float], show: Callable[[float], str]) -> str:
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))} to {show(max(values))})"


def times_as_long(ratio: float) -> str:
    return f"{ratio:.{0 if ratio >= 10 else 1}f}x"


def slope(measured: list[Measured], value: Callable[[Measured], float]) -> float:
    """Exponent p of value ~ tokens^p, by least squares."""
    x, y = [math.log(each.size) for each in measured], [math.log(max(1, value(each))) for each in measured]
    return statistics.linear_regression(x, y).slope


def draw(path: Path, measured: list[Measured], axis: str, title: str) -> None:
    """Draw time and extra memory over frames or cells, all logarithmic: slope 1 means proportional."""
    figure, axes = panels(1, 2, (9, 4), alike=False)
    for way, style in distinct(list(dict.fromkeys(each.way for each in measured))).items():
        own = [each for each in measured if each.way == way]
        sizes = [getattr(each, axis) for each in own]
        for panel, values in zip(axes[0], ([e.median / 1000 for e in own], [e.memory / 1e6 for e in own]), strict=True):
            panel.plot(sizes, values, label=way, **style)
    ticks = sorted({getattr(each, axis) for each in measured})
    for panel, name in zip(axes[0], ("seconds", "extra memory, MB"), strict=True):
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(ticks, ticks)
        panel.set_xlabel("frames" if axis == "frames" else "cells a frame", fontsize=9)
        panel.set_ylabel(name, fontsize=9)
        panel.tick_params(which="both", labelsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.supxlabel(title, fontsize=8)
    figure.savefig(path, dpi=150)

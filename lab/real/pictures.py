"""Pictures of the study: small panels, methods named beside their lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.real.numbers import AT, LOWER, MeanBy, means
from vidfold import extras
from vidfold.app.tables import percent
from vidfold.app.writing import Row
from vidfold.bench.real.table import HEADS

SHOWN = {
    "aot": "#0072B2",
    "simplecluster": "#009E73",
    "diverse": "#CC79A7",
    "random": "#D55E00",
    "aot-paper": "#E69F00",
}
"""Methods that have a colour; the others are grey."""


def _panels(count: int, across: int, size: tuple[float, float]) -> tuple[Any, Any]:
    plots = extras.load("matplotlib.figure", "bench")
    down = -(-count // across)
    figure = plots.Figure((size[0] * across, size[1] * down), layout="constrained")
    return figure, figure.subplots(down, across, squeeze=False).flatten()


def _apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Heights of labels, at least so far apart."""
    placed: dict[str, float] = {}
    for name in sorted(heights, key=heights.__getitem__):
        placed[name] = max([heights[name], *(height + least for height in placed.values())])
    up = (sum(placed.values()) - sum(heights.values())) / len(placed)
    return {name: height - up for name, height in placed.items()}


def over_retention(rows: Sequence[Row]) -> Any:
    """Every measure over retention: a panel each, the methods of `SHOWN` named at their lines, all others grey."""
    kinds = [measure for measure in HEADS if means(rows, measure)]
    figure, panels = _panels(len(kinds), 4, (3.4, 2.6))
    for axes, measure in zip(panels, kinds, strict=False):
        found = means(rows, measure)
        shares = sorted({share for name, share in found if name != "identity"}, key=float)
        ends = {}
        for method in sorted(
            dict.fromkeys(name for name, _ in found if name != "identity"), key=list(SHOWN).__contains__
        ):
            line = [found[method, share] for share in shares]
            colour = SHOWN.get(method, "#CFCFCF")
            axes.plot(
                [100 * float(share) for share in shares], line, color=colour, linewidth=1.6 if method in SHOWN else 0.8
            )
            if method in SHOWN:
                ends[method] = line[0]
        if ("identity", "1") in found:
            axes.axhline(found["identity", "1"], color="#222222", linewidth=0.8, linestyle=":")
        low, high = axes.get_ylim()
        for method, height in _apart(ends, 0.075 * (high - low)).items():
            axes.annotate(
                method,
                (100 * float(shares[0]), height),
                (-3, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=7,
                color=SHOWN[method],
            )
        axes.set_xscale("log")
        axes.set_xlim(100 * float(shares[0]) / 3.2, 100 * float(shares[-1]) * 1.1)
        axes.set_xticks(
            [100 * float(share) for share in shares], [f"{100 * float(share):g}" for share in shares], fontsize=7
        )
        axes.minorticks_off()
        axes.tick_params(labelsize=7)
        axes.set_title(
            HEADS[measure].removesuffix(" ↓") + (" (lower is better)" if measure in LOWER else ""), fontsize=9
        )
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    figure.supxlabel("tokens kept, %; grey: the other methods; dotted: all tokens", fontsize=8)
    return figure


def beside_answers(rows: Sequence[Row], answers: Mapping[str, MeanBy]) -> Any:
    """Right answers over error and transport cost on real videos, at `AT`: a row for every kind of answers."""
    chosen = [(name, measure) for name in answers for measure in LOWER]
    figure, panels = _panels(len(chosen), 2, (7.2, 6.0))
    for axes, (world, measure) in zip(panels, chosen, strict=True):
        found, own = means(rows, measure), answers[world]
        names = [name for name, share in own if share == AT and (name, share) in found]
        for name in names:
            colour = SHOWN.get(name, "#777777")
            at = found[name, AT], 100 * own[name, AT]
            axes.plot(*at, "o", color=colour, markersize=4)
            axes.annotate(name, at, (4, 3), textcoords="offset points", fontsize=7, color=colour)
        axes.set_xlabel(f"real videos: {HEADS[measure]}", fontsize=8)
        axes.set_ylabel(f"{world}: right answers, %", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.margins(x=0.2)
    figure.suptitle(f"{percent(float(AT))} of the tokens", fontsize=9)
    return figure


def in_towers(by_tower: Mapping[tuple[str, str], Sequence[Row]]) -> Any:
    """Quantisation error at 10 % as a share of random's, in every feature space."""
    figure, (axes,) = _panels(1, 1, (7.0, 4.6))
    columns = []
    for rows in by_tower.values():
        found = means(rows, "quantisation_error")
        columns.append({name: value / found["random", AT] for (name, share), value in found.items() if share == AT})
    names = sorted(columns[0], key=columns[0].__getitem__)
    for place, column in enumerate(columns):
        (tower, layer) = list(by_tower)[place]
        known = [name for name in names if name in column]
        axes.plot(
            [column[name] for name in known],
            [names.index(name) for name in known],
            "os^D"[place],
            label=f"{tower}, layer {layer}",
            markersize=5,
            alpha=0.8,
        )
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_xlabel("quantisation error at 10 % as a share of random's; lower is better", fontsize=8)
    axes.grid(axis="x", color="#E4E4E4")
    axes.legend(fontsize=8, frameon=False)
    return figure

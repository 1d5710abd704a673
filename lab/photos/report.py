"""Counts of right answers to questions about photographs: saved, as a table, as a picture, beside feature measures."""

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.photos.questions import KINDS
from lab.real.numbers import spearman
from vidfold.bench.plots import distinct, panels
from vidfold.bench.scores import MARGIN, Estimate, marks

MEASURES = ("quantisation_error", "coverage", "transport")
_BETTER = (-1, 1, -1)  # sign with which a measure is better


@dataclass(frozen=True, eq=False)
class Answers:
    """``right`` (readers, settings, clips, kinds) and ``asked`` (clips, kinds) counts; ``kept`` (settings, clips)
    shares; ``measures`` (settings, clips, 3); ``ranked``: the kinds that methods are ranked by.
    The first setting is all tokens.
    """

    readers: tuple[str, ...]
    settings: tuple[tuple[str, float], ...]
    right: NDArray[np.uint8]
    asked: NDArray[np.uint8]
    kept: NDArray[np.float64]
    measures: NDArray[np.float32]
    ranked: tuple[str, ...]

    def estimate(self, reader: int, setting: int, kinds: tuple[str, ...] = ()) -> Estimate:
        """Mean accuracy of these kinds, or of the ranked ones, alike in weight, and every clip's influence."""
        columns = [KINDS.index(kind) for kind in kinds or self.ranked if self.asked[:, KINDS.index(kind)].any()]
        asked = self.asked[:, columns].astype(float)
        parts, weight = self.right[reader, setting][:, columns] / asked.sum(0), asked / asked.sum(0)
        influence = (parts - parts.sum(0) * weight).mean(1)
        return Estimate(parts.mean(1), influence, weight.mean(1))

    def correlations(self, reader: int) -> list[tuple[float, list[float]]]:
        """For every retention, Spearman's rank correlation over methods of each measure with the answers.

        Signs are such that 1 means: the better the measure, the better the answers.
        """
        found = []
        for share in dict.fromkeys(share for _, share in self.settings[1:]):
            places = [place for place, each in enumerate(self.settings) if place and each[1] == share]
            right = [self.estimate(reader, place).value for place in places]
            means = self.measures[places].mean(1)
            found.append((share, [sign * spearman(means[:, at], right) for at, sign in enumerate(_BETTER)]))
        return found


def write(found: Answers, out: Path) -> None:
    """Writes ``answers.npz``, ``answers.csv``, ``answers.md``, ``correlations.csv`` and ``answers.png`` to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    names = np.array([name for name, _ in found.settings]), np.array([share for _, share in found.settings])
    arrays = {name: getattr(found, name) for name in ("right", "asked", "kept", "measures")}
    np.savez_compressed(
        out / "answers.npz",
        readers=np.array(found.readers),
        kinds=np.array(KINDS),
        methods=names[0],
        retentions=names[1],
        **arrays,
    )
    with (out / "answers.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        ends = [f"{name}{end}" for name in ("mean", "minus_all", "minus_random") for end in ("", "_se")]
        rows.writerow(["reader", "method", "retention", "kept", *ends, *KINDS, *MEASURES])
        for reader, name in enumerate(found.readers):
            for place, (method, share) in enumerate(found.settings):
                own = found.estimate(reader, place)
                others = [own, own - found.estimate(reader, 0)]
                if ("random", share) in found.settings:
                    others.append(own - found.estimate(reader, found.settings.index(("random", share))))
                numbers = [value for each in others for value in (each.value, each.error)]
                numbers += [np.nan] * (6 - len(numbers))
                numbers += [found.estimate(reader, place, (kind,)).value for kind in KINDS]
                numbers += found.measures[place].mean(0).tolist()
                written = ["" if np.isnan(value) else f"{value:.4f}" for value in numbers]
                rows.writerow([name, method, f"{share:g}", f"{found.kept[place].mean():.4f}", *written])
    with (out / "correlations.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["reader", "retention", *MEASURES])
        for reader, name in enumerate(found.readers):
            for share, values in found.correlations(reader):
                rows.writerow([name, f"{share:g}", *("" if np.isnan(value) else f"{value:.2f}" for value in values)])
    (out / "answers.md").write_text("\n".join(_tables(found)) + "\n")
    _picture(found).savefig(out / "answers.png", dpi=150)


def _tables(found: Answers) -> list[str]:
    """Markdown: every kind with all tokens, and the mean of the ranked kinds at every retention, in %."""
    lines = [f"Ranked by: {', '.join(found.ranked)}.", "", "| kind | " + " | ".join(found.readers) + " | questions |"]
    lines.append("|---|" + "---:|" * (len(found.readers) + 1))
    for number, kind in enumerate(KINDS):
        values = [_percent(found.estimate(reader, 0, (kind,))) for reader in range(len(found.readers))]
        lines.append(f"| {kind} | {' | '.join(values)} | {found.asked[:, number].sum()} |")
    shares = list(dict.fromkeys(share for _, share in found.settings[1:]))
    for reader, name in enumerate(found.readers):
        head = " | ".join(f"{share:.0%}" for share in shares)
        lines += ["", f"| reader {name} | {head} |", "|---|" + "---:|" * len(shares)]
        rows = {}
        for method in dict.fromkeys(name for name, _ in found.settings[1:]):
            own = [found.estimate(reader, found.settings.index((method, share))) for share in shares]
            rows[f"| {method} | {' | '.join(map(_percent, own))} |"] = sum(each.value for each in own)
        lines += sorted(rows, key=lambda row: -rows[row])
        lines += [f"| all tokens | {' | '.join([_percent(found.estimate(reader, 0))] * len(shares))} |"]
        lines += _paired(found, reader, name)
    return lines


def _paired(found: Answers, reader: int, name: str) -> list[str]:
    """Markdown: every setting but the first method's minus the first method's at the same retention, in points."""
    first = found.settings[1][0]
    labels = [label for label in dict.fromkeys(label for label, _ in found.settings) if label != first]
    shares = list(dict.fromkeys(share for _, share in found.settings[1:]))
    gaps = []
    for label, share in product(labels, shares):
        other = 0 if label == found.settings[0][0] else found.settings.index((label, share))
        gaps.append(found.estimate(reader, other) - found.estimate(reader, found.settings.index((first, share))))
    pairs = zip(gaps, marks(gaps), strict=True)
    shown = [f"{100 * gap.value:+.1f} ± {100 * gap.error:.1f} {mark}" for gap, mark in pairs]
    lines = ["", f"Reader {name}, minus {first}, paired by clip, in points. ▲ ▼: significantly above or below, Holm's"]
    lines += [f"correction over the table; ≈: equivalent, significantly less than {100 * MARGIN:g} points apart.", ""]
    lines += [f"| minus {first} | {' | '.join(f'{share:.0%}' for share in shares)} |", "|---|" + "---:|" * len(shares)]
    for row, label in enumerate(labels):
        own = shown[row * len(shares) : (row + 1) * len(shares)]
        lines.append(f"| {'all tokens' if row == 0 else label} | {' | '.join(each.strip() for each in own)} |")
    return lines


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} ± {100 * estimate.error:.1f}"


def _picture(found: Answers) -> Any:
    """Right answers over retention, a panel a reader."""
    methods = list(dict.fromkeys(name for name, _ in found.settings[1:]))
    figure, grid = panels(1, len(found.readers), (6.4 * len(found.readers), 5.6))
    for reader, (axes, name) in enumerate(zip(grid.flat, found.readers, strict=True)):
        axes.axhline(100 * found.estimate(reader, 0).value, color="#222222", linewidth=0.9)
        for method, style in distinct(methods).items():
            places = [place for place, each in enumerate(found.settings) if place and each[0] == method]
            shares = [100 * found.settings[place][1] for place in places]
            means = [found.estimate(reader, place) for place in places]
            errors = [100 * each.error for each in means] if method in ("aot", "random") else None
            axes.errorbar(
                shares, [100 * each.value for each in means], errors, label=method, linewidth=1.2, markersize=4, **style
            )
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.minorticks_off()
        axes.set_title(f"reader {name}; the line: all tokens", fontsize=10)
        axes.set_xlabel("tokens kept, %", fontsize=9)
        axes.set_ylabel("right answers, %", fontsize=9)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    return figure

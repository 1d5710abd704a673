"""How many frames to take for a fixed number of tokens: right answers of the embedded model.

    .venv/bin/python -m lab.budget --output OUT [--clips 200] [--split search] [--ways even scenes novel]

Clips of 64 frames of both small worlds. Of each clip some frames are taken, evenly or by what they show, and AOT folds
them to the same number of tokens. Mean over the kinds of question, in %, with its standard error over clips.
"""

import argparse
import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vidfold.app.loading import VideoModel, load
from vidfold.app.progress import Progress
from vidfold.app.tables import table
from vidfold.bench import reading
from vidfold.bench.clips import SCENE_RATE, Sample, Scenes
from vidfold.bench.plots import distinct, panels
from vidfold.bench.scores import Estimate, accuracy
from vidfold.bench.settings import Fold, Setting
from vidfold.reducers import AOT
from vidfold.tiny import questions, render
from vidfold.tiny.worlds import WORLDS
from vidfold.video import Frames
from vidfold.video.choosing import CHOOSERS, WAYS

LENGTH = 64
FRAMES = (2, 4, 8, 16, 32, 64)
TOKENS = (16, 32, 64, 128, 288)
Cells = Mapping[tuple[str, int, int], Estimate]
"""Way, frames and tokens -> a share."""


def taken(pixels: np.ndarray, frames: int, way: str) -> np.ndarray:
    """Indices of the frames that a way takes of all (L, H, W, 3)."""
    if way == "even" or frames >= len(pixels):
        return np.linspace(0, len(pixels) - 1, frames).astype(int)
    chooser = CHOOSERS[way]
    return chooser.choose(np.stack([chooser.look(each) for each in pixels]), np.ones(len(pixels)), frames)


def measure(seed: int, loaded: VideoModel, ways: Sequence[str]) -> dict[tuple[str, int, int], dict[str, float]]:
    """Values of one clip by way, frames and tokens."""
    clip = render(seed, LENGTH)
    found = {}
    for way, count in itertools.product(ways, FRAMES):
        if way != "even" and count in (FRAMES[0], LENGTH):
            continue
        places = taken(clip.frames, count, way)
        seconds = LENGTH / SCENE_RATE
        frames = Frames(clip.frames[places], places / SCENE_RATE, seconds, SCENE_RATE, LENGTH, count)
        sample = Sample(str(seed), seed, loaded, frames, tuple(questions(clip)), clip)
        tokens = sample.encode(frozenset())
        budgets = [each for each in TOKENS if each <= tokens.frames * tokens.cells]
        folds = [Fold.of(Setting("aot", 1.0, AOT(tokens=each)), tokens, seed) for each in budgets]
        for budget, values in zip(budgets, reading.measure(sample, tokens, folds), strict=True):
            found[way, count, budget] = values
    return found


def report(cells: Cells, output: Path, name: str, clips: int, told: str) -> None:
    """Write ``name``.csv and ``name``.png to a folder, and print a table for every way.

    Args:
        cells: what was measured.
        output: the folder.
        name: of the files.
        clips: how many were measured.
        told: what the shares are, and of how many frames.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["way", "frames", "tokens", "share", "error", "clips"])
        writer.writerows([*key, each.value, each.error, clips] for key, each in cells.items())
    ways = list(dict.fromkeys(way for way, _, _ in cells))
    frames, tokens = sorted({count for _, count, _ in cells}), sorted({budget for _, _, budget in cells})
    _draw(output / f"{name}.png", cells, ways, frames, tokens, told)
    for way in ways:
        rows = [[f"{way} frames", *(f"{budget} tokens" for budget in tokens)]]
        for count in frames:
            found = [cells.get((way, count, budget)) for budget in tokens]
            shown = [f"{100 * each.value:.1f} ± {100 * each.error:.1f}" if each else "-" for each in found]
            rows.append([str(count), *shown])
        print(table(rows), end="\n\n")


def _draw(
    path: Path, cells: Cells, ways: Sequence[str], frames: Sequence[int], tokens: Sequence[int], told: str
) -> None:
    """A panel for each way: shares over frames, a line for each number of tokens."""
    figure, axes = panels(1, len(ways), (4.2 * len(ways), 3.6))
    styles = distinct([f"{budget} tokens" for budget in tokens])
    for panel, way in zip(axes[0], ways, strict=True):
        for budget, (name, style) in zip(tokens, styles.items(), strict=True):
            own = {count: cells[way, count, budget] for count in frames if (way, count, budget) in cells}
            values, errors = ([100 * getattr(each, part) for each in own.values()] for part in ("value", "error"))
            panel.errorbar([*own], values, errors, label=name, **style, markersize=4, elinewidth=0.7)
        panel.set_xscale("log", base=2)
        panel.set_xticks(frames, [*map(str, frames)])
        panel.set_title(f"frames: {way}", fontsize=10)
    what, where = told.split(" of ")
    figure.supxlabel(f"frames taken of {where}", fontsize=9)
    figure.supylabel(f"{what}, %", fontsize=9)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m lab.budget", description=__doc__)
    parser.add_argument("--clips", type=int, default=200, help="of each world (default: 200)")
    parser.add_argument("--split", default="search", help="(default: search)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="to choose frames (default: all)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    loaded = load("tiny")
    every: dict[tuple[str, int, int], list[dict[str, float]]] = {}
    seeds = [seed for world in WORLDS for seed in Scenes(options.clips, options.split, world, (LENGTH,)).clips]
    progress = Progress("clip")
    for done, seed in enumerate(seeds):
        for key, values in measure(int(seed), loaded, options.ways).items():
            every.setdefault(key, []).append(values)
        progress(done + 1, len(seeds))
    cells = {
        key: accuracy({name: np.array([each[name] for each in values]) for name in values[0]})
        for key, values in every.items()
    }
    report(cells, options.output, options.split, len(seeds), f"right answers of {LENGTH}")


if __name__ == "__main__":
    main()

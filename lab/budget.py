"""How many frames to take for a fixed number of tokens: right answers of the embedded model.

    .venv/bin/python -m lab.budget --output OUT [--clips 200] [--split search]

Clips of 64 frames of both small worlds. Of each clip some frames are taken, evenly or by what they show, and AOT folds
them to the same number of tokens. Mean over the kinds of question, in %, with its standard error over clips.
"""

import argparse
import csv
import itertools
from collections.abc import Mapping
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


def taken(pixels: np.ndarray, frames: int, way: str) -> np.ndarray:
    """Indices of the frames that a way takes of all (L, H, W, 3)."""
    if way == "even" or frames >= len(pixels):
        return np.linspace(0, len(pixels) - 1, frames).astype(int)
    chooser = CHOOSERS[way]
    return chooser.choose(np.stack([chooser.look(each) for each in pixels]), np.ones(len(pixels)), frames)


def measure(seed: int, loaded: VideoModel) -> dict[tuple[str, int, int], dict[str, float]]:
    """Values of one clip by way, frames and tokens."""
    clip = render(seed, LENGTH)
    found = {}
    for way, count in itertools.product(WAYS, FRAMES):
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


def draw(path: Path, cells: Mapping[tuple[str, int, int], Estimate]) -> None:
    """A panel for each way: right answers over frames, a line for each number of tokens."""
    figure, axes = panels(1, len(WAYS), (4.2 * len(WAYS), 3.6))
    styles = distinct([f"{tokens} tokens" for tokens in TOKENS])
    for panel, way in zip(axes[0], WAYS, strict=True):
        for tokens, (name, style) in zip(TOKENS, styles.items(), strict=True):
            own = {frames: cells[way, frames, tokens] for frames in FRAMES if (way, frames, tokens) in cells}
            values, errors = ([100 * getattr(each, part) for each in own.values()] for part in ("value", "error"))
            panel.errorbar([*own], values, errors, label=name, **style, markersize=4, elinewidth=0.7)
        panel.set_xscale("log", base=2)
        panel.set_xticks(FRAMES, [*map(str, FRAMES)])
        panel.set_title(f"frames: {way}", fontsize=10)
    figure.supxlabel("frames taken of 64", fontsize=9)
    figure.supylabel("right answers, %", fontsize=9)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.budget", description=__doc__)
    parser.add_argument("--clips", type=int, default=200, help="of each world (default: 200)")
    parser.add_argument("--split", default="search", help="(default: search)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    loaded = load("tiny")
    every: dict[tuple[str, int, int], list[dict[str, float]]] = {}
    seeds = [seed for world in WORLDS for seed in Scenes(options.clips, options.split, world, (LENGTH,)).clips]
    progress = Progress("clip")
    for done, seed in enumerate(seeds):
        for key, values in measure(int(seed), loaded).items():
            every.setdefault(key, []).append(values)
        progress(done + 1, len(seeds))
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / f"{options.split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["way", "frames", "tokens", "accuracy", "error", "clips"])
        cells = {
            key: accuracy({name: np.array([each[name] for each in values]) for name in values[0]})
            for key, values in every.items()
        }
        for (way, frames, tokens), score in cells.items():
            writer.writerow([way, frames, tokens, score.value, score.error, len(every[way, frames, tokens])])
    draw(options.output / f"{options.split}.png", cells)
    for way in WAYS:
        rows = [[f"{way} frames", *(f"{tokens} tokens" for tokens in TOKENS)]]
        for frames in FRAMES:
            found = [cells.get((way, frames, tokens)) for tokens in TOKENS]
            shown = [f"{100 * each.value:.1f} ± {100 * each.error:.1f}" if each else "-" for each in found]
            rows.append([str(frames), *shown])
        print(table(rows), end="\n\n")


if __name__ == "__main__":
    main()

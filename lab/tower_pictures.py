"""Pictures of `lab.tower`'s results.

.venv/bin/python -m lab.tower_pictures --count count.jsonl --answers search.jsonl --output benchmarks/tower
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lab.tower import differences
from vidfold.bench.plots import distinct, panels
from vidfold.models.partial.tower import patched
from vidfold.tiny import render, seeds
from vidfold.tower import Still

SHOWN, PATCH = 4, 8
"""Number of the clip of the embedded model's world that is shown, and the side of its tower's patches."""


def work(rows: list[dict[str, float]], thresholds: tuple[float, ...]) -> object:
    """The share of the work of every clip, in order."""
    figure, ((axes,),) = panels(1, 1, (5.5, 3.2))
    for threshold, style in zip(thresholds, distinct([*map(str, thresholds)]).values(), strict=True):
        values = np.sort([row["work"] for row in rows if row["threshold"] == threshold])
        axes.plot(np.arange(1, len(values) + 1), values, **style | {"marker": ""}, label=f"threshold {threshold:g}")
    axes.set(xlabel="clips, the stillest first", ylabel="work of the tower, 1 = whole", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8)
    return figure


def kinds(out: Path) -> object:
    """Answers against work, by kind."""
    found = [each for each in differences(out) if each.kept < 1]
    figure, ((axes,),) = panels(1, 1, (5.5, 3.2))
    ways = [way for way in dict.fromkeys(each.way for each in found) if way != "whole"]
    for way, style in distinct(ways).items():
        own = sorted((each for each in found if each.way == way), key=lambda each: each.share)
        axes.errorbar([each.share for each in own], [100 * each.rate for each in own],
                      yerr=[100 * each.error for each in own], **style, label=way)  # fmt: skip
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="share of the tower computed", ylabel="answers, points from whole")
    axes.legend(frameon=False, fontsize=8)
    return figure


def plan() -> object:
    """A clip, and what is computed of it: the rest is dark."""
    frames = render(seeds("search", SHOWN + 1)[SHOWN]).frames
    pixels = torch.from_numpy(frames).movedim(-1, 1).float() / 255
    computed = Still().plan(patched(pixels, PATCH, PATCH)).computed
    side = frames.shape[1] // PATCH
    mask = computed.view(-1, side, side).repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2).numpy()
    figure, grid = panels(2, len(frames), (1.1 * len(frames), 2.4), alike=False)
    for number, frame in enumerate(frames):
        grid[0, number].imshow(frame)
        grid[1, number].imshow(np.where(mask[number][..., None], frame, frame // 6))
        grid[1, number].set_title(f"{100 * computed[number].float().mean():.0f} %", fontsize=8)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.tower_pictures", description=__doc__)
    parser.add_argument("--count", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in options.count.read_text().splitlines()]
    for name, figure in (
        ("work", work(rows, (0.03, 0.05, 0.08))),
        ("kinds", kinds(options.answers)),
        ("plan", plan()),
    ):
        figure.savefig(options.output / f"{name}.png", dpi=100)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()

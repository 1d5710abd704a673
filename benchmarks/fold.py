"""Time and memory of the fold against the way its authors compute it, in one run.

    .venv/bin/python benchmarks/fold.py [--frames 8 32 128 512] [--channels 3584] [--methods aot-reference aot]

Input: frames of 27x27 patches, a synthetic video with cuts, attention given; only the fold runs. The authors' way is
`vidfold.bench.authors`: loops over frames, a broadcast cosine, a decision at a time asked of the device. Its second row
has that cosine as one matrix product and is otherwise the same. 'aot-reference' gives the same tokens as both, 'aot' an
exact tenth. All are run in turns. The floor is what 'aot-reference' cannot do without: reading the features once, and
the product of all patches with the anchors. The authors' way is run three times at most, and once from 128 frames on,
for it takes minutes: some twenty in all with the numbers of frames above.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from vidfold import Pooling, Reduction, VideoTokens, __version__
from vidfold.bench.authors import Authors
from vidfold.bench.drawing import MARKED, OTHERS, SHOWN, panels
from vidfold.bench.speed.memory import Peak
from vidfold.bench.speed.stopwatch import timed
from vidfold.reducers import get
from vidfold.tables import duration, memory, table

GRID, ANCHORS, KEEP = (27, 27), 126, 0.3
THEIRS = AUTHORS, WITH_GEMM = "authors' way", "authors' way, product"
SLOW_RUNS, SLOWEST_FROM = 3, 128


def synthetic_video(frames: int, channels: int, device: str, dtype: torch.dtype) -> VideoTokens:
    """Scenes of eight frames each, drifting."""
    generator = torch.Generator(device).manual_seed(0)
    patches = GRID[0] * GRID[1]
    features = torch.empty(frames, patches, channels, device=device, dtype=dtype)
    for first in range(0, frames, 8):
        part = features[first : first + 8]
        scene = torch.randn(1, patches, channels, generator=generator, device=device)
        part.copy_(scene + 0.3 * torch.randn(part.shape, generator=generator, device=device))
    attention = torch.rand(2, frames, patches, generator=generator, device=device) ** 3
    return VideoTokens(features, GRID, Pooling.BILINEAR, attention[0], attention[1])


def floor(tokens: VideoTokens) -> float:
    """Milliseconds of one pass over the features and of the product of all patches with the anchors."""
    features, device = tokens.features, tokens.features.device
    anchors = features[:, :ANCHORS].contiguous()
    reading = min(timed(features.sum, device)[1] for _ in range(3))
    return reading + min(timed(lambda: anchors @ features.transpose(1, 2), device)[1] for _ in range(3))


@dataclass(frozen=True)
class Measured:
    """One way to fold one video."""

    frames: int
    way: str
    kept: int
    milliseconds: list[float]
    memory: int

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


def measure(tokens: VideoTokens, ways: dict[str, Callable[[VideoTokens], Reduction]], runs: int) -> list[Measured]:
    """All ways in turns; the first turn is for warming up."""
    device = tokens.features.device
    times: dict[str, list[float]] = {name: [] for name in ways}
    kept, peaks = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    for run in range(runs + 1):
        for name, way in ways.items():
            most = SLOW_RUNS if tokens.frames < SLOWEST_FROM else 1
            if name in THEIRS and not 0 < run <= most:
                continue
            peak = Peak(device)
            reduction, milliseconds = timed(lambda way=way: way(tokens), device)
            kept[name], peaks[name] = len(reduction), max(peaks[name], peak.above())
            del reduction
            if run > 0:
                times[name].append(milliseconds)
    return [Measured(tokens.frames, name, kept[name], times[name], peaks[name]) for name in ways]


def rows(measured: list[Measured], least: float) -> list[list[str]]:
    """One row a way, and the floor, for one number of frames."""
    theirs = {each.way: each.milliseconds for each in measured if each.way in THEIRS}
    found = []
    for each in measured:
        own = [str(each.frames), each.way, str(each.kept), spread(each.milliseconds, duration), memory(each.memory)]
        for other in THEIRS:
            pairs = zip(theirs.get(other, []), each.milliseconds, strict=False)
            ratios = [] if each.way in THEIRS else [slow / quick for slow, quick in pairs]
            own.append(spread(ratios, times_as_long) if ratios else "-")
        found.append(own)
    return [*found, [str(measured[0].frames), "floor", "-", duration(least), "-", "-", "-"]]


def spread(values: list[float], show: Callable[[float], str]) -> str:
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))} to {show(max(values))})"


def times_as_long(ratio: float) -> str:
    return f"{ratio:.{0 if ratio >= 10 else 1}f}x"


def slope(measured: list[Measured]) -> float:
    """Exponent p of time ~ frames^p, by least squares."""
    x, y = [math.log(each.frames) for each in measured], [math.log(each.median) for each in measured]
    return statistics.linear_regression(x, y).slope


def draw(path: Path, measured: list[Measured], title: str) -> None:
    """Time and extra memory over frames, both logarithmic, so that a line of slope 1 is proportional to frames."""
    figure, axes = panels(1, 2, (9, 4), alike=False)
    styles = [*MARKED.values(), SHOWN, *OTHERS]
    for way, style in zip(dict.fromkeys(each.way for each in measured), styles, strict=False):
        own = [each for each in measured if each.way == way]
        frames = [each.frames for each in own]
        for panel, values in zip(axes[0], ([e.median / 1000 for e in own], [e.memory / 1e6 for e in own]), strict=True):
            panel.plot(frames, values, color=style.color, linestyle=style.line, marker=style.marker, label=way)
    for panel, name in zip(axes[0], ("seconds", "extra memory, MB"), strict=True):
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(sorted({each.frames for each in measured}), sorted({each.frames for each in measured}))
        panel.set_xlabel("frames", fontsize=9)
        panel.set_ylabel(name, fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.supxlabel(title, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32, 128, 512], help="(default: 8 32 128 512)")
    parser.add_argument("--channels", type=int, default=3584, help="(default: 3584, as LLaVA-OneVision-7B)")
    parser.add_argument("--methods", nargs="+", default=["aot-reference", "aot"], help="(default: aot-reference aot)")
    parser.add_argument("--retention", type=float, default=0.10, help="of methods that take it (default: 0.10)")
    parser.add_argument("--runs", type=int, default=5, help="after one to warm up (default: 5)")
    parser.add_argument("--no-authors", action="store_true", help="leave the authors' way out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="(default: float32 on a CPU, else bfloat16)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for fold.json and the picture fold.png")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    ways: dict[str, Callable[[VideoTokens], Reduction]] = {}
    if not options.no_authors:
        ways = {AUTHORS: Authors(ANCHORS, KEEP), WITH_GEMM: Authors(ANCHORS, KEEP, gemm=True)}
    for name in options.methods:
        reference = name == "aot-reference"
        ways[name] = get(name, anchors=ANCHORS, keep=KEEP) if reference else get(name, retention=options.retention)
    title = (
        f"vidfold {__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"{options.device}, {torch.get_num_threads()} threads, {dtype}, {options.channels} channels, seed 0"
    )
    print(title, flush=True)
    shown = [["frames", "fold", "tokens", "time", "extra memory", "authors' / this", "with product / this"]]
    measured: list[Measured] = []
    for frames in options.frames:
        tokens = synthetic_video(frames, options.channels, options.device, getattr(torch, dtype))
        found = measure(tokens, ways, options.runs)
        shown += rows(found, floor(tokens))
        measured += found
        print(f"measured {frames} frames", file=sys.stderr)
        del tokens
    print(table(shown))
    if len(options.frames) > 1:
        powers = {name: slope([each for each in measured if each.way == name]) for name in ways}
        print("time grows with frames to the power " + ", ".join(f"{p:.2f} ({name})" for name, p in powers.items()))
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        record = {"run": title, "measured": [dataclasses.asdict(each) for each in measured]}
        (options.output / "fold.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draw(options.output / "fold.png", measured, title)


if __name__ == "__main__":
    main()

"""Time and memory of the fold, for any methods, and how they grow with the number of frames, or of cells a frame.

    .venv/bin/python -m lab.fold [--frames 8 32 128 512] [--channels 3584]
    .venv/bin/python -m lab.fold --methods aot simplecluster holitom flashvid [--limit 60]
    .venv/bin/python -m lab.fold --methods aot simplecluster --frames 32 --cells 196 400 729 1024

Input: a synthetic video with cuts, frames of 27x27 patches that are pooled to 14x14, or of as many cells as --cells
says, which are not pooled. Only the fold runs: attention and keys are given. The authors' way is that of AOT's authors,
`lab.authors`: loops over frames, a broadcast cosine, a host sync for each decision. Its second row has the cosine as
one matrix product and is otherwise the same. 'aot-reference' gives the same tokens as both; all other methods keep the
given retention. All run in turns. The floor is the least work of 'aot-reference': reading the features once, and the
product of all patches with the anchors. The authors' way runs at most three times, and once from 128 frames on, since
it takes minutes: about twenty in total for the frames above.

Methods with quadratic time would take minutes too. So all but the authors' way stop repeating on a video after --limit
seconds, and skip a video that is expected to take longer. The expected time grows with the power of the last two
videos in their number of tokens, limited to 1 to 2; after one video the power is 2.
"""

import argparse
import dataclasses
import json
import math
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from lab.authors import Authors
from lab.fold_report import AUTHORS, THEIRS, WITH_GEMM, Measured, draw, rows, side_by_side, slope
from vidfold import Pooling, Reduction, VideoTokens, __version__
from vidfold.app.asking import timed
from vidfold.app.memory import Peak
from vidfold.app.tables import amount, duration, table
from vidfold.reducers import METHODS, InnerReducer, Reducer, get

Ways = dict[str, Callable[[VideoTokens], Reduction]]
"""Name -> fold."""

GRID, ANCHORS, KEEP = (27, 27), 126, 0.3
SLOW_RUNS, SLOWEST_FROM = 3, 128


def synthetic_video(frames: int, side: int | None, channels: int, device: str, dtype: torch.dtype) -> VideoTokens:
    """Scenes of eight similar frames each, of side x side cells; None: of patches that are pooled."""
    generator = torch.Generator(device).manual_seed(0)
    grid, pooling = (GRID, Pooling.BILINEAR) if side is None else ((side, side), Pooling.NONE)
    patches = grid[0] * grid[1]
    features = torch.empty(frames, patches, channels, device=device, dtype=dtype)
    for first in range(0, frames, 8):
        part = features[first : first + 8]
        scene = torch.randn(1, patches, channels, generator=generator, device=device)
        part.copy_(scene + 0.3 * torch.randn(part.shape, generator=generator, device=device))
    attention = torch.rand(2, frames, patches, generator=generator, device=device) ** 3
    keys = torch.randn(frames, patches, 72, generator=generator, device=device)
    return VideoTokens(features, grid, pooling, attention[0], attention[1], keys=keys)


def floor(tokens: VideoTokens) -> float:
    """Milliseconds of one pass over the features plus the product of all patches with the anchors."""
    features = tokens.features
    anchors = features[:, :ANCHORS].contiguous()
    reading = min(timed(features.sum)[1] for _ in range(3))
    return reading + min(timed(lambda: anchors @ features.transpose(1, 2))[1] for _ in range(3))


def expected(before: list[Measured], size: int) -> float:
    """Expected seconds for a video of so many tokens, from earlier measurements; 0 if there are none."""
    if not before:
        return 0.0
    power = min(2.0, max(1.0, slope(before[-2:], lambda each: each.median))) if len(before) > 1 else 2.0
    return min(before[-1].milliseconds) / 1000 * math.pow(size / before[-1].size, power)


def measure(tokens: VideoTokens, ways: Ways, runs: int, limit: float) -> list[Measured]:
    """Run all ways in turns; the first turn is a warm-up, and counts only if a way used up ``limit`` seconds."""
    device = tokens.features.device
    times: dict[str, list[float]] = {name: [] for name in ways}
    warm: dict[str, list[float]] = {name: [] for name in ways}
    kept, peaks = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    for run in range(runs + 1):
        for name, way in ways.items():
            most = SLOW_RUNS if tokens.frames < SLOWEST_FROM else 1
            if name in THEIRS and not 0 < run <= most:
                continue
            if sum(warm[name] + times[name]) > 1000 * limit:
                continue
            peak = Peak(device)
            reduction, milliseconds = timed(partial(way, tokens))
            kept[name], peaks[name] = len(reduction), max(peaks[name], peak.above())
            del reduction
            (times if run > 0 else warm)[name].append(milliseconds)
    shape = tokens.frames, tokens.cells
    return [Measured(*shape, name, kept[name], times[name] or warm[name], peaks[name]) for name in ways]


def reducer(name: str, retention: float) -> Reducer:
    """A method by name, with the retention if it has this field.

    Raises:
        ValueError: an unknown method, or one that works inside the language model.
    """
    if name in METHODS and issubclass(METHODS[name], InnerReducer):
        raise ValueError(f"{name} works inside the language model, which this benchmark does not run")
    known = {field.name for field in dataclasses.fields(METHODS[name])} if name in METHODS else set()
    own = {"anchors": ANCHORS, "keep": KEEP} if name == "aot-reference" else {"retention": retention}
    return get(name, **{field: value for field, value in own.items() if field in known})


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lab.fold", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32, 128, 512], help="(default: 8 32 128 512)")
    parser.add_argument("--cells", type=int, nargs="+", metavar="N", help="cells a frame, squares, for one --frames")
    parser.add_argument("--channels", type=int, default=3584, help="(default: 3584, as LLaVA-OneVision-7B)")
    default = ["aot-reference", "aot-paper", "aot"]
    parser.add_argument("--methods", nargs="+", help=f"(default: {' '.join(default)}, and the authors' way)")
    parser.add_argument("--retention", type=float, default=0.10, help="for methods that have it (default: 0.10)")
    parser.add_argument("--runs", type=int, default=5, help="runs after the warm-up (default: 5)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per method and video (default: 60)")
    parser.add_argument(
        "--authors", action=argparse.BooleanOptionalAction, help="the way of AOT's authors (default: without --methods)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="(default: float32 on a CPU, else bfloat16)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for fold.json and the picture fold.png")
    options = parser.parse_args()
    if options.cells and len(options.frames) > 1:
        parser.error(f"--cells goes with one number of --frames, got {' '.join(map(str, options.frames))}")
    if odd := [cells for cells in options.cells or () if cells < 1 or math.isqrt(cells) ** 2 != cells]:
        parser.error(f"--cells must be squares of whole numbers, such as 196 400 729 1024, got {odd[0]}")
    if options.threads:
        torch.set_num_threads(options.threads)
    dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    ways: Ways = {}
    if options.authors or (options.authors is None and options.methods is None):
        ways = {AUTHORS: Authors(ANCHORS, KEEP), WITH_GEMM: Authors(ANCHORS, KEEP, gemm=True)}
    try:
        ways |= {name: reducer(name, options.retention) for name in options.methods or default}
    except ValueError as error:
        parser.error(str(error))
    axis = "cells" if options.cells else "frames"
    sides: list[int | None] = [math.isqrt(cells) for cells in sorted(set(options.cells or ()))] or [None]
    shapes = [(frames, side) for frames in sorted(set(options.frames)) for side in sides]
    title = (
        f"vidfold {__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"{options.device}, {torch.get_num_threads()} threads, {dtype}, {options.channels} channels, seed 0"
    )
    print(title, flush=True)
    shown = [["frames", "cells", "fold", "tokens", "time", "extra memory", "authors' / this", "with product / this"]]
    measured: list[Measured] = []
    heads: dict[int, str] = {}
    for frames, side in shapes:
        tokens = synthetic_video(frames, side, options.channels, options.device, getattr(torch, dtype))
        size, shape = frames * tokens.cells, [str(frames), str(tokens.cells)]
        heads[size] = f"{frames} frames" if side is None else f"{tokens.cells} cells"
        ahead = {name: expected([each for each in measured if each.way == name], size) for name in ways}
        skipped = [name for name in ways if ahead[name] > options.limit and name not in THEIRS]
        left = {name: way for name, way in ways.items() if name not in skipped}
        found = measure(tokens, left, options.runs, options.limit)
        shown += rows(found, skipped, shape, floor(tokens))
        measured += found
        print(f"measured {heads[size]}", file=sys.stderr)
        del tokens
    used = [column for column in zip(*shown, strict=True) if set(column[1:]) != {"-"}]
    print(table([list(row) for row in zip(*used, strict=True)]), end="\n\n")
    print(table(side_by_side(measured, ways, heads, lambda each: each.median, duration)), end="\n\n")
    print(table(side_by_side(measured, ways, heads, lambda each: each.memory, lambda count: amount(count, "B"))))
    if len(measured) < len(ways) * len(shapes):
        print(f"-: skipped, since one fold was expected to take more than {options.limit:g} s")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        record = {"run": title, "measured": [dataclasses.asdict(each) for each in measured]}
        (options.output / "fold.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draw(options.output / "fold.png", measured, axis, title)


if __name__ == "__main__":
    main()

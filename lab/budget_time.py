"""First-token time over frames and tokens: forecast from short calls, and checked by calls of the whole.

    .venv/bin/python -m lab.budget_time [--model llava-onevision-0.5b] [--check 8x64 16x512 32x1024]

A model of real size with random weights. Costs come from five short calls with 2 and 6 frames, as in `vidfold plan`;
then every checked pair of frames and tokens is run once, in time and memory. On a quiet machine of two cores that takes
some three minutes.
"""

import argparse
from pathlib import Path

from vidfold.app import random_models
from vidfold.app.progress import Progress
from vidfold.app.tables import amount, table
from vidfold.planning import calibrate
from vidfold.planning.costs import measured

FRAMES = (4, 8, 16, 32, 64)
TOKENS = (64, 256, 512, 1024, 2048)


def pair(text: str) -> tuple[int, int]:
    """Frames and tokens, such as 8x64."""
    frames, _, tokens = text.partition("x")
    return int(frames), int(tokens)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llava-onevision-0.5b", choices=sorted(random_models.MODELS))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--check", type=pair, nargs="*", default=[(8, 64), (16, 512), (32, 1024)], metavar="FxK")
    parser.add_argument("--output", type=Path, help="file for the tables")
    options = parser.parse_args()
    model = random_models.build(options.model, dtype=options.dtype)

    def inputs(frames: int) -> dict[str, object]:
        return {**random_models.inputs(model, frames)}

    costs = calibrate(model, inputs, progress=Progress("short call"))
    rows: list[tuple[str, ...]] = [("seconds", *(f"{tokens} tokens" for tokens in TOKENS), "of it tower")]
    for frames in FRAMES:
        told = [
            f"{sum(costs.seconds(frames, each).values()):.1f}" if each <= frames * costs.cells else "-"
            for each in TOKENS
        ]
        rows.append((f"{frames} frames", *told, f"{costs.tower.at(frames):.1f}"))
    checked: list[tuple[str, ...]] = [("checked", "measured", "forecast", "off", "memory", "forecast", "off")]
    progress = Progress("checked call")
    for done, (frames, tokens) in enumerate(options.check):
        call = measured(model, inputs, frames, tokens)
        took, above = call.seconds, call.memory
        said, bytes_ = sum(costs.seconds(frames, tokens).values()), costs.memory(frames, tokens) - costs.weights
        name = f"{frames} frames, {tokens} tokens"
        times, sizes = (took, said), (above, bytes_)
        off = [f"{forecast / real - 1:+.0%}" if real else "-" for real, forecast in (times, sizes)]
        shown = [f"{took:.1f} s", f"{said:.1f} s", off[0], amount(above, "B"), amount(bytes_, "B"), off[1]]
        checked.append((name, *shown))
        progress(done + 1, len(options.check))
    text = f"{options.model}, {options.dtype}\n\n{table(rows)}\n\n{table(checked)}\n"
    print(text)
    if options.output is not None:
        options.output.write_text(text)


if __name__ == "__main__":
    main()

"""``vidfold plan``: how many frames and tokens a budget pays for."""

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

from vidfold.app.progress import Progress
from vidfold.app.tables import amount, duration, table
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.options import Commands, add_model, command, load_model

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "plan", run, "Choose frames and tokens within a budget, by short calls of the model.")
    parser.add_argument("video", nargs="?", help="a video file (default: one of any length)")
    parser.add_argument("--tokens", type=int, metavar="K", help="tokens that the language model reads of the video")
    parser.add_argument("--seconds", type=float, metavar="S", help="seconds to the first token, at most")
    parser.add_argument("--memory", metavar="SIZE", help="of the model with its cache, at most, such as '6 GB'")
    parser.add_argument("--frames", type=int, help="frames at most (default: 256)")
    parser.add_argument("--random-weights", metavar="NAME", help="instead of --model, such as llava-onevision-0.5b")
    parser.add_argument("--again", action="store_true", help="measure the costs anew that are known of an earlier plan")
    parser.add_argument("--no-check", action="store_true", help="do not run the chosen call to compare the forecast")
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Print the options within the budget, the choice, and what a call of it then took."""
    from vidfold.planning import known_costs, plan, usual_folder
    from vidfold.planning.choice import MOST
    from vidfold.planning.costs import SIZE, measured
    from vidfold.video import available, sample

    budget = {"tokens": options.tokens, "seconds": options.seconds, "memory": _bytes(options.memory)}
    if all(value is None for value in budget.values()):
        raise ValueError("give a budget: --tokens, --seconds or --memory")
    frames, size = MOST if options.frames is None else options.frames, SIZE
    if options.video:
        frames = available(options.video, frames)
        height, width = sample(options.video, 1).pixels.shape[1:3]
        size = height, width
    with quiet_libraries():
        model, inputs = _model(options, size)
        asked = {"about": str(size), "again": options.again, "progress": Progress("short call")}
        costs, known = known_costs(model, inputs, folder := usual_folder(), **asked)
        found = plan(costs, **budget, frames=frames)
        if known:
            print(f"costs are those of an earlier plan, kept in {folder}; --again measures them anew\n")
        print(table(_rows(found)), f"\n{found}", sep="\n")
        if options.no_check:
            return
        with announced_if_slow("running the plan once"):
            call = measured(model, inputs, found.frames, found.tokens)
    told = ", ".join(f"{name} {duration(1000 * value)}" for name, value in call.stages.items())
    off = found.chosen.seconds / call.seconds - 1
    print(f"measured: {duration(1000 * call.seconds)}: {told}; the forecast is {off:+.0%} off")
    if call.memory:
        beside = found.chosen.memory - costs.weights
        print(
            f"memory beside the weights: {amount(call.memory, 'B')}; the forecast is {amount(beside, 'B')}, "
            f"{beside / call.memory - 1:+.0%} off"
        )


def _rows(found: Any) -> list[list[str]]:
    stages = [name for name in found.chosen.stages if any(each.stages[name] for each in found.options)]
    rows = [["", "frames", "tokens", "a frame", "seconds", *stages, "memory"]]
    for each in found.options:
        mark = "->" if each is found.chosen else ""
        times = [f"{value:.2f}" for value in (each.seconds, *(each.stages[name] for name in stages))]
        rows.append([mark, str(each.frames), str(each.tokens), f"{each.tokens / each.frames:.1f}", *times])
        rows[-1].append(amount(each.memory, "B"))
    return rows


def _model(options: argparse.Namespace, size: tuple[int, int]) -> tuple[Any, Callable[[int], Mapping[str, Any]]]:
    """A model, and what makes its inputs for a video of some frames of this height and width."""
    if options.random_weights:
        from vidfold.app import random_models

        settings = {"device": options.device, "attention": options.attn, "dtype": options.dtype or "bfloat16"}
        with announced_if_slow(f"building {options.random_weights}"):
            model = random_models.build(options.random_weights, **settings)
        return model, lambda frames: random_models.inputs(model, frames)
    from vidfold.planning.costs import inputs_of

    loaded = load_model(options)
    return loaded.model, inputs_of(loaded, size)


def _bytes(text: str | None) -> int | None:
    """A size in bytes, such as "6 GB"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*)\s*(|[kmg]?b)", text.strip().lower())
    if not found:
        raise ValueError(f"--memory must be a size such as '6 GB', got {text!r}")
    return int(float(found[1]) * UNITS[found[2]])

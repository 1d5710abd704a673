"""``vidfold bench quality``: how much information methods keep."""

import argparse
import sys
from typing import TYPE_CHECKING

from vidfold.app.progress import Progress
from vidfold.cli.console import quiet_libraries
from vidfold.cli.options import TINY_FRAMES, Commands, add_model, command, load_model, number

if TYPE_CHECKING:
    from vidfold.bench.results import Plan

QUESTION = "what happens in this video?"
SUITES = ("search", "confirm", "final")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "quality",
        run,
        "Measure what methods keep: in feature space, in what the model says, in right answers.",
    )
    parser.add_argument(
        "--methods",
        "--method",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="names, or all (default); see 'vidfold methods'",
    )
    parser.add_argument(
        "--retention",
        type=number,
        nargs="+",
        help="shares of the tokens (default: 0.25 0.10; with --suite 0.50 0.25 0.20 0.15 0.10 0.05)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        help="clips of the embedded model's worlds (default: 64; with --suite 200 of each world)",
    )
    parser.add_argument("--world", choices=("first", "second"), help="of the clips (default: first)")
    parser.add_argument(
        "--split",
        choices=SUITES,
        help="of the clips: to choose settings by, to confirm a choice, or to report (default: final, on which nothing "
        "was tuned)",
    )
    parser.add_argument(
        "--suite",
        choices=SUITES,
        help="right answers alone, of the embedded model and its twin, on clips of that split of both worlds and of "
        "several lengths; methods are compared with the first one named",
    )
    parser.add_argument(
        "--videos", nargs="+", metavar="FILE", help="video files instead of clips; they have no known true answers"
    )
    parser.add_argument("--question", help=f"asked about each of the videos (default: {QUESTION})")
    parser.add_argument(
        "--frames", type=int, help=f"of every clip, or sampled over each video (default: {TINY_FRAMES})"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder; results that it has are not measured again (default: out/quality; with --suite its name instead)",
    )
    parser.add_argument("--seed", type=int, help="of random draws (default: 0)")
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Measure what is missing, write tables and pictures, and print the table."""
    from vidfold.bench.quality import write

    with quiet_libraries():
        plan = _suite(options) if options.suite else _quality(options)
        output = options.output or f"out/{options.suite or 'quality'}"
        watch = Progress("measuring clip") if sys.stderr.isatty() else None
        print(write(plan, output, watch=watch, tell=_tell))


def _quality(options: argparse.Namespace) -> "Plan":
    from vidfold.bench.clips import EVERYDAY, Scenes, Source, Videos
    from vidfold.bench.quality import quality_plan, settings

    chosen = settings(options.methods, options.retention or [0.25, 0.10])
    frames = TINY_FRAMES if options.frames is None else options.frames
    count = 64 if options.clips is None else options.clips
    clips: Source = Scenes(count, options.split or EVERYDAY, options.world or "first", (frames,))
    if options.videos:
        clips = Videos(tuple(options.videos), QUESTION if options.question is None else options.question, frames)
    return quality_plan(chosen, [clips], [load_model(options)], seed=options.seed or 0)


def _suite(options: argparse.Namespace) -> "Plan":
    from vidfold.bench.quality import suite_plan

    own = ("videos", "question", "world", "split", "frames", "seed", "dtype", "attn", "quantization")
    defaults = {**dict.fromkeys(own), "model": "tiny", "trust_remote_code": False}
    if given := [name for name, default in defaults.items() if getattr(options, name) != default]:
        raise ValueError(f"--suite has its own clips, seeds and models: omit --{given[0].replace('_', '-')}")
    sizes = {"retentions": options.retention, "clips": options.clips}
    chosen = {name: value for name, value in sizes.items() if value is not None}
    return suite_plan(options.suite, options.methods, **chosen, device=options.device)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)

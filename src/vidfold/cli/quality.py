"""``vidfold bench quality``: what methods keep."""

from __future__ import annotations

import argparse
import sys

from vidfold.cli.options import TINY_FRAMES, Commands, add_model, command, load_model, number
from vidfold.console import Progress, quiet_libraries


def add(commands: Commands) -> None:
    """Enter the command."""
    parser = command(
        commands,
        "quality",
        run,
        "Measure what methods keep: in feature space, in what the model says, in right answers.",
    )
    parser.add_argument("--methods", nargs="+", default=["all"], help="names, or all (default); see 'vidfold methods'")
    parser.add_argument(
        "--retention", type=number, nargs="+", default=[0.25, 0.10], help="shares of the tokens (default: 0.25 0.10)"
    )
    parser.add_argument("--clips", type=int, default=64, help="test clips of the embedded model's world (default: 64)")
    parser.add_argument("--videos", nargs="+", metavar="FILE", help="videos instead; no one knows their true answers")
    parser.add_argument("--question", default="what happens in this video?", help="asked about each of the videos")
    parser.add_argument("--frames", type=int, default=TINY_FRAMES, help="sampled over each of the videos (default: 8)")
    parser.add_argument("--output", default="out/quality", help="folder; what it holds is not measured again")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Measure what is not measured yet, write tables and pictures, and print the table."""
    from vidfold.bench.quality import plan
    from vidfold.bench.sources import Scenes, Source, Videos
    from vidfold.bench.writing import write_quality

    plan(options.methods, options.retention)
    clips: Source = Scenes(options.clips)
    if options.videos:
        clips = Videos(tuple(options.videos), options.question, options.frames)
    with quiet_libraries():
        text = write_quality(
            options.methods,
            options.retention,
            [clips],
            options.output,
            models=[load_model(options)],
            seed=options.seed,
            watch=Progress("measuring clip") if sys.stderr.isatty() else None,
        )
    print(text)

"""``vidfold scene``: a clip of the embedded model's worlds as a file."""

import argparse
import dataclasses
import json

from vidfold.app.tables import table
from vidfold.cli.files import film
from vidfold.cli.options import TINY_FRAMES, Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "scene", run, "Render a clip of the embedded model's worlds, with questions and true answers."
    )
    parser.add_argument("path", metavar="OUT.mp4")
    parser.add_argument(
        "--seed",
        type=int,
        required=True,
        help="of the clip: the model never saw those from 1000000000 on; add 10000000000 for the second world",
    )
    parser.add_argument("--frames", type=int, default=TINY_FRAMES, help=f"of the clip (default: {TINY_FRAMES})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Write the clip; print its questions with true answers."""
    from vidfold.tiny import questions, render

    clip = render(options.seed, options.frames)
    film(clip, options.path)
    asked = questions(clip)
    if options.json:
        facts = [dataclasses.asdict(question) for question in asked]
        print(json.dumps({"path": options.path, "seed": clip.seed, "questions": facts}, indent=2))
        return
    print(f"wrote {options.path}\n")
    print(table([("question", "true answer"), *((question.text, question.answer) for question in asked)]))

"""``vidfold read``: read a video once, and keep what the language model reads of it."""

import argparse

from vidfold.app.tables import amount, table
from vidfold.cli.console import quiet_libraries
from vidfold.cli.options import FILES, Commands, add_model, add_video, command
from vidfold.cli.videos import SUFFIX, saved, video_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "read", run, "Read a video once, for questions by 'vidfold ask' and 'vidfold chat'.")
    add_video(parser, FILES)
    parser.add_argument(
        "--output", required=True, metavar="FILE", help=f"where to write it, a name that ends in {SUFFIX}"
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="write the key-value cache, too: a larger file, and nothing is read again when it is opened",
    )
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Read the video, write it, and print its size."""
    from pathlib import Path

    if not saved(options.output):
        raise ValueError(f"--output must end in {SUFFIX}, got {options.output!r}")
    if saved(options.video):
        raise ValueError(f"{options.video!r} was read already: give the video itself")
    with quiet_libraries():
        video, facts = video_of(options)
        source = options.video if Path(options.video).is_file() else None
        size = video.save(options.output, cache=options.cache, source=source, model_name=options.model)
    print(table([*facts, ("written to", f"{options.output}, {amount(size, 'B')}")]))

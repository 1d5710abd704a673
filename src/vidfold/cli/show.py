"""``vidfold show``: a page on what was folded."""

import argparse
from pathlib import Path

from vidfold.app.tables import amount, table
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.options import (
    FILES,
    WATCH,
    Commands,
    add_model,
    add_tower,
    add_video,
    command,
    load_model,
    reducer,
    tower,
)
from vidfold.cli.videos import frames_for, sampled, saved

RETENTIONS = (0.05, 0.10, 0.25, 0.50)
"""Budgets that the page's slider has beside the chosen one."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "show", run, "Write a page that shows what was folded, and where the rest went.")
    add_video(parser, FILES)
    parser.add_argument(
        "--question", nargs=1, default=[], metavar="Q", help="answered from every fold and from all tokens"
    )
    parser.add_argument("--output", metavar="FILE.html", help="the page: one file, which needs no network")
    parser.add_argument("--still", metavar="FILE.png|svg", help="a picture of the first fold, for papers and slides")
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="METHOD", help="other methods, to be seen beside the first one"
    )
    parser.add_argument(
        "--retentions",
        nargs="*",
        type=float,
        default=RETENTIONS,
        metavar="SHARE",
        help="budgets of the slider beside --retention (default: 0.05 0.1 0.25 0.5)",
    )
    add_tower(parser)
    parser.add_argument("--max-new-tokens", type=int, default=64, help="length of an answer at most (default: 64)")
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Write the page, the picture or both, and say where they are."""
    from vidfold.app.encoded import Encoded
    from vidfold.app.showing import budgets, needs, page
    from vidfold.app.writing import write_text
    from vidfold.reducers import get
    from vidfold.replacing import replacing
    from vidfold.show.still import format_of, still

    if options.output is None and options.still is None:
        raise ValueError("give --output report.html, --still picture.png or both")
    if saved(options.video) or options.stream == WATCH:
        raise ValueError(f"a page shows frames: give the video itself, without --stream, got {options.video!r}")
    form = format_of(options.still) if options.still else ""
    method, towers = reducer(options), tower(options)
    methods = [method, *budgets(method, options.retentions)]
    for name in options.beside:
        other = get(name)
        if share := getattr(method, "retention", None):
            other = next(iter(budgets(other, [share])), other)
        methods += [other, *budgets(other, options.retentions)]
    frames, _ = sampled(options)
    with quiet_libraries():
        loaded = load_model(options)
        frames, _ = frames_for(options, loaded, frames)
        with announced_if_slow("folding"):
            made = page(
                Encoded.of(loaded, frames, needs(methods), towers),
                methods,
                title=Path(options.video).name,
                question=next(iter(options.question), None),
                max_new_tokens=options.max_new_tokens,
            )
    trace = made.views[0].trace
    told = [("method", made.views[0].details), ("folded", f"{trace.full} -> {len(trace.places)} tokens")]
    if options.still:
        with replacing(options.still) as file:
            file.write(still(made, form))
        told.append(("picture", options.still))
    if options.output:
        write_text(options.output, made.html())
        told.append(("page", f"{options.output}, {amount(Path(options.output).stat().st_size, 'B')}"))
    print(table(told))

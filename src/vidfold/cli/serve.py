"""``vidfold bench serve``: a vLLM server, folded and unfolded in turns, with several clients at once."""

import argparse
import base64
import dataclasses
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vidfold.app.progress import say
from vidfold.cli.options import Commands, add_method, command, reducer

FIRST = 1
"""Seed of the first clip."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "serve", run, "Time a vLLM server with several clients, folded and unfolded in turns (extra: serve)."
    )
    add_method(parser)
    parser.add_argument("--model", default="tiny", help="tiny (the embedded model, default), a folder or an identifier")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="at once (default: 1 4 16)")
    parser.add_argument("--requests", type=int, default=2, help="videos a client asks about in a turn (default: 2)")
    parser.add_argument("--turns", type=int, default=3, help="of folded and unfolded (default: 3)")
    parser.add_argument("--frames", type=int, default=32, help="of every clip, which are generated (default: 32)")
    parser.add_argument("--scale", type=int, default=1, help="how many times 96 pixels a clip is wide (default: 1)")
    parser.add_argument("--new-tokens", type=int, default=8, help="of every answer (default: 8)")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="OPTION",
        help="an option of vLLM's server, such as --server=-tp=2",
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the server's log and every sample as JSON")


def run(options: argparse.Namespace) -> None:
    """Measure, and print the table."""
    import torch

    from vidfold.bench.serving import measure, serving, table
    from vidfold.checks import check_count
    from vidfold.serving import methods
    from vidfold.tiny import EMBEDDED, path

    for name in ("requests", "turns", "frames", "scale", "new_tokens"):
        check_count(f"--{name.replace('_', '-')}", getattr(options, name))
    for count in options.clients:
        check_count("--clients", count)
    told = [*methods.options(reducer(options)), "--trust-request-mm-kwargs", "--max-model-len", "4096"]
    told += [] if torch.cuda.is_available() else ["--enforce-eager", "--dtype", "float32", "--block-size", "32"]
    model = str(path(EMBEDDED[options.model])) if options.model in EMBEDDED else options.model
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.output or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        say("starting the server (a minute or two)\n")
        with serving(model, folder / "server.log", [*told, *options.server]) as server:
            samples = measure(
                server,
                options.clients,
                _videos(Path(scratch), options.frames, options.scale),
                requests=options.requests,
                turns=options.turns,
                new_tokens=options.new_tokens,
                tell=lambda text: say(f"{text}\n"),
            )
        if options.output:
            (folder / "serve.json").write_text(json.dumps([dataclasses.asdict(each) for each in samples]) + "\n")
    print(table(samples))
    errors = [answer.error for each in samples for answer in (*each.answers, *each.follow_ups) if answer.error]
    if errors:
        print(f"\nthe first error: {errors[0]}")


def _videos(folder: Path, frames: int, scale: int) -> Iterator[str]:
    """Clips of the embedded model's worlds as data, one after another."""
    from vidfold.tiny import render
    from vidfold.video import write

    for seed in itertools.count(FIRST):
        file = folder / "clip.mp4"
        write(file, render(seed, frames=frames).frames, fps=2, scale=scale)
        yield f"data:video/mp4;base64,{base64.b64encode(file.read_bytes()).decode()}"

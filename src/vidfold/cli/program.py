"""All commands in one parser, and how their errors are reported."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from vidfold import extras
from vidfold.cli import (
    ask,
    chat,
    demo,
    features,
    methods,
    models,
    plan,
    quality,
    read,
    repair,
    reproduce,
    scene,
    speed,
    tables,
)

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130

COMMANDS = (ask, read, chat, plan, scene, methods, models, reproduce, tables, demo, repair)
"""Modules whose ``add`` enters a command, in the order of the help."""
BENCHES = (quality, features, speed)
"""Those of ``vidfold bench``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vidfold``; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _check_text(arguments)
        options = _parser().parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("vidfold: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout closed it, as ``head`` does: the interpreter must not flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, extras.MissingExtra) as error:
        if "--debug" in arguments:
            raise
        print(f"vidfold: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def _check_text(arguments: Sequence[str]) -> None:
    """Raise a ValueError for an argument with bytes that are not UTF-8; Python keeps them as lone surrogates."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ValueError(f"argument {argument!r} is not UTF-8 text: set the terminal or script to UTF-8") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see '{self.prog} --help')")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vidfold", description="Fold a video into a tenth of its tokens for video language models.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    text = "Measure methods side by side."
    bench = commands.add_parser("bench", help=text, description=text)
    benches = bench.add_subparsers(title="benches", required=True, metavar="BENCH")
    for command in BENCHES:
        command.add(benches)
    return parser

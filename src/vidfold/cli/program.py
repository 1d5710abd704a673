"""All commands in one parser, and how their errors are reported."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from vidfold import __version__, extras
from vidfold.cli import (
    app,
    ask,
    batch,
    chat,
    demo,
    doctor,
    features,
    methods,
    models,
    plan,
    quality,
    read,
    repair,
    reproduce,
    scene,
    serve,
    show,
    speed,
    tables,
)
from vidfold.cli.completion import SHELLS, Completion
from vidfold.cli.console import logged
from vidfold.cli.options import Commands

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130

COMMANDS = (ask, show, app, read, chat, batch, plan, scene, methods, models, reproduce, tables, demo, doctor, repair)
"""Modules whose ``add`` enters a command, in the order of the help."""
BENCHES = (quality, features, speed, serve)
"""Those of ``vidfold bench``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vidfold``; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _check_text(arguments)
        options = parser().parse_args(arguments)
        with logged(getattr(options, "verbose", False)):
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


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; without one it prints its help."""
    program = _Parser(prog="vidfold", description="Fold a video into a tenth of its tokens for video language models.")
    program.add_argument("--version", action="version", version=f"vidfold {__version__}")
    program.add_argument(
        "--completion", action=Completion, choices=SHELLS, help="print the script by which a shell completes commands"
    )
    commands = _group(program, "commands", "COMMAND")
    for command in COMMANDS:
        command.add(commands)
    text = "Measure methods side by side."
    benches = _group(commands.add_parser("bench", help=text, description=text), "benches", "BENCH")
    for bench in BENCHES:
        bench.add(benches)
    return program


def _group(program: argparse.ArgumentParser, title: str, metavar: str) -> Commands:
    """Where the commands of a program are added; without one of them it prints its help."""
    program.set_defaults(run=lambda _: program.print_help())
    commands: Commands = program.add_subparsers(title=title, metavar=metavar)
    return commands

"""``vidfold --completion SHELL``: the script by which a shell completes commands, options and file names."""

import argparse
from collections.abc import Iterator
from typing import Any

from vidfold import extras

SHELLS = ("bash", "zsh", "tcsh")
PATHS = {"FILE": "FILE", "DIR": "DIRECTORY", "OUT.mp4": "FILE"}
"""How an argument that takes a path is shown in the help -> its name in shtab; what a video may be is a file, too."""


class Completion(argparse.Action):
    """Prints the script of the whole program and ends it."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: Any, option: object = None) -> None:
        """Print it."""
        shtab = extras.load("shtab", "completion")
        for action in _actions(parser):
            kind = PATHS.get(str(action.metavar), "FILE" if action.dest == "video" else None)
            if kind:
                action.complete = getattr(shtab, kind)  # type: ignore[attr-defined]
        print(shtab.complete(parser, shell=shell))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)

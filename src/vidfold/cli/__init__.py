"""The command line: arguments in, tables out. One module a command, entered in `vidfold.cli.program`."""

from vidfold.cli.program import main

__all__ = ["main"]

"""``vidfold methods``: the folding methods."""

import argparse
import dataclasses
import inspect
from typing import TYPE_CHECKING

from vidfold.app.tables import table
from vidfold.cli.options import Commands, command

if TYPE_CHECKING:
    from vidfold.reducers import Reducer


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "methods", run, "List the methods, or describe one with its fields.")
    parser.add_argument("method", nargs="?", metavar="NAME", help="describe this one")


def run(options: argparse.Namespace) -> None:
    """Print a table of the methods, or the description of one."""
    from vidfold.reducers import METHODS, get

    if options.method is not None:
        print(_description(get(options.method)))
        return
    rows = []
    for name, method in sorted(METHODS.items()):
        rows += [(name, method.idea), ("", _told(method()))]
    print(table(rows))
    print("\n'vidfold methods NAME' has the fields of a method, for --set")


def _told(method: "Reducer") -> str:
    """Where a method comes from, and what is special about it."""
    needs = f"; needs {', '.join(sorted(method.needs))}" if method.needs else ""
    return method.published + needs + ("" if method.exact else "; the number of tokens depends on the content")


def _description(method: "Reducer") -> str:
    fields = [(field.name, repr(getattr(method, field.name))) for field in dataclasses.fields(method)]
    shown = table([("field", "default"), *fields]) if fields else "it has no fields"
    return f"{method.name}: {method.idea}\n{_told(method)}\n\n{inspect.getdoc(type(method))}\n\n{shown}"

"""``vidfold methods``: the folding methods."""

import argparse

from vidfold.app.tables import table
from vidfold.cli.options import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "methods", run, "List the methods.")


def run(_: argparse.Namespace) -> None:
    """Print a table of the methods."""
    from vidfold.reducers import METHODS

    rows = [("method", "budget", "needs", "published", "idea")]
    for name, method in sorted(METHODS.items()):
        default = method()
        budget = "exact" if default.exact else "by content"
        rows.append((name, budget, ", ".join(sorted(default.needs)) or "-", method.published, method.idea))
    print(table(rows))

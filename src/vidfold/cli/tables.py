"""``vidfold tables``: published numbers, alone or compared with measured ones."""

import argparse
import csv
import sys

from vidfold.cli.options import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "tables", run, "Print published tables, alone or compared with measured results.")
    parser.add_argument("table", nargs="?", help="its name (default: list the tables)")
    parser.add_argument("--results", metavar="DIR", help="folder that lmms-eval wrote results of vidfold's model to")
    parser.add_argument("--csv", action="store_true", help="print tidy rows")


def run(options: argparse.Namespace) -> None:
    """Print the list of tables, one table, or its comparison with measured results."""
    from vidfold.evaluation import compare, published, results, tables

    if options.table is None:
        if options.results is not None or options.csv:
            raise ValueError(f"--results and --csv need the name of a table; there are: {', '.join(published.names())}")
        print(tables.listing())
        return
    shown = published.load(options.table)
    if options.results is not None:
        lines = compare.compare(shown, results.read_results(options.results))
        if options.csv:
            writer = csv.DictWriter(sys.stdout, tables.COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(tables.comparison_rows(lines))
        else:
            print(tables.comparison_text(shown, lines))
    elif options.csv:
        print(published.file(shown.name).read_text(encoding="utf-8"), end="")
    else:
        print(tables.published_text(shown))

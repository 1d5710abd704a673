"""``vidfold tables``: published numbers, alone or compared with measured ones."""

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping, Sequence

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
        if options.results is not None:
            raise ValueError(f"--results needs the name of a table; there are: {', '.join(published.names())}")
        if options.csv:
            _print_csv(("table", "numbers", "title"), tables.listing())
        else:
            print(tables.listing_text())
        return
    shown = published.load(options.table)
    if options.results is not None:
        lines = compare.compare(shown, results.read_results(options.results))
        if options.csv:
            _print_csv(tables.COLUMNS, tables.comparison_rows(lines))
        else:
            print(tables.comparison_text(shown, lines))
    elif options.csv:
        print(published.file(shown.name).read_text(encoding="utf-8"), end="")
    else:
        print(tables.published_text(shown))


def _print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)

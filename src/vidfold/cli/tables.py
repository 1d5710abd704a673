"""``vidfold tables``: published numbers, alone or compared with measured ones."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from vidfold.cli.options import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "tables", run, "Print published tables, alone or compared with measured results.")
    parser.add_argument("table", nargs="?", help="its name (default: list the tables)")
    parser.add_argument("--results", metavar="DIR", help="folder that lmms-eval wrote results of vidfold's model to")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print tidy rows")
    form.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print the list of tables, one table, or its comparison with measured results."""
    if options.table is None:
        _list(options)
    elif options.results is None:
        _show(options)
    else:
        _compare(options)


def _list(options: argparse.Namespace) -> None:
    from vidfold.evaluation.published import load, names
    from vidfold.evaluation.tables import listing

    if options.results is not None:
        raise ValueError(f"--results needs the name of a table; there are: {', '.join(names())}")
    found = [{"table": each.name, "numbers": len(each.numbers), "title": each.title} for each in map(load, names())]
    if options.json:
        print(json.dumps({"tables": found}, indent=2))
    elif options.csv:
        _print_csv(("table", "numbers", "title"), found)
    else:
        print(listing())


def _show(options: argparse.Namespace) -> None:
    from vidfold.evaluation.published import file, load
    from vidfold.evaluation.tables import as_data, text

    published = load(options.table)
    if options.json:
        print(json.dumps(as_data(published), indent=2, ensure_ascii=False))
    elif options.csv:
        print(file(published.name).read_text(encoding="utf-8"), end="")
    else:
        print(text(published))


def _compare(options: argparse.Namespace) -> None:
    from vidfold.evaluation.compare import compare
    from vidfold.evaluation.measured import read_results
    from vidfold.evaluation.published import load
    from vidfold.evaluation.tables import COLUMNS, comparison_rows, comparison_text

    published = load(options.table)
    comparison = compare(published, *read_results(options.results))
    if options.json:
        content = {"table": published.name, "title": published.title, "rows": comparison_rows(comparison)}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    elif options.csv:
        _print_csv(COLUMNS, comparison_rows(comparison))
    else:
        print(comparison_text(comparison))


def _print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)

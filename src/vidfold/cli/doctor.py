"""``vidfold doctor``: what is installed here, what is missing, and how to get it."""

import argparse
import dataclasses
import json

from vidfold.app.tables import table
from vidfold.cli.options import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "doctor", run, "Show versions, devices, kernels and decoders, and how to get what is missing."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Look, and print what was found."""
    from vidfold.app.machine import findings

    found = list(findings())
    if options.json:
        print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
        return
    print(table([("x" if each.missing else "", each.part, each.told) for each in found]))
    lacking: dict[str, list[str]] = {}
    for each in found:
        if each.missing:
            lacking.setdefault(each.missing, []).append(each.part)
    head = "x  missing; all of it is optional, and each line says how to get it:" if lacking else "nothing is missing"
    print("", head, *(f"   {', '.join(parts)}: {how}" for how, parts in lacking.items()), sep="\n")

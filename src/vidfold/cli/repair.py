"""``vidfold repair``: make torchvision load beside a CPU build of torch."""

from __future__ import annotations

import argparse

from vidfold.app.torchvision import repair
from vidfold.cli.options import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "repair", run, "Make the torchvision of PyPI load beside a CPU build of torch, if it does not.")


def run(_: argparse.Namespace) -> None:
    """Repair, and say what was done."""
    print(repair())

"""``vidfold repair``: make torchvision load beside a CPU build of torch.

On Linux the torchvision wheel of PyPI is built for CUDA. Beside a CPU torch its compiled library does not load, and its
import stops at ``operator torchvision::nms does not exist``. What video processors need (resize, normalise) is pure
torch, so it is enough to declare the schemas of the missing operators before the import.
"""

import argparse
import subprocess
import sys
import sysconfig
from pathlib import Path

from vidfold.cli.options import Commands, command

MODULE = "_torchvision_repair"

REPAIR = '''\
"""Declares the operators that a torchvision built for CUDA misses beside a CPU torch; written by ``vidfold repair``."""

import importlib.abc
import importlib.metadata
import sys

_library = None


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; declares the schemas when torchvision is first looked for, so torch is imported no earlier."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            _declare()
        return None


def _declare():
    global _library
    import torch

    try:
        build = importlib.metadata.version("torchvision").partition("+")[2]
    except importlib.metadata.PackageNotFoundError:
        return
    if torch.version.cuda or build:  # another torch or torchvision was installed since: the two may agree
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")  # unloading it would drop the schemas
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _BeforeTorchvision())
'''


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "repair", run, "Make the torchvision of PyPI load beside a CPU build of torch, if it does not.")


def run(_: argparse.Namespace) -> None:
    """Repair, and say what was done."""
    print(repair())


def repair() -> str:
    """Write the repair to the environment's packages if torchvision does not load; returns what was done, in one line.

    Raises:
        ValueError: torchvision does not load for another reason, or not even with the repair.
    """
    error = _import_error()
    if not error:
        return "torchvision loads: nothing to repair"
    if "torchvision::nms does not exist" not in error:
        raise ValueError(f"torchvision does not load, and there is no repair for this: {error}")
    site_packages = Path(sysconfig.get_path("purelib"))
    (site_packages / f"{MODULE}.py").write_text(REPAIR)
    (site_packages / f"{MODULE}.pth").write_text(f"import {MODULE}\n")
    if error := _import_error():
        raise ValueError(f"torchvision does not load, not even with {site_packages / MODULE}.py: {error}")
    return f"torchvision loads now: wrote {MODULE}.py and {MODULE}.pth to {site_packages}"


def _import_error() -> str:
    """The last line of what ``import torchvision`` says in a fresh interpreter; empty where it works."""
    probe = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else probe.stderr.strip().rpartition("\n")[2]

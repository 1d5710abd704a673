"""Make torchvision importable next to a CPU build of torch.

The torchvision wheel on PyPI is built for CUDA.  Beside a CPU torch its compiled library does not load, and its
import stops at ``operator torchvision::nms does not exist``.  The parts vidfold's environment needs (resize,
normalise) are pure torch, so declaring the schemas of the missing operators before the import is enough.

Run with the interpreter of the environment to repair.  If ``import torchvision`` works, nothing is written.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

MODULE = "_torchvision_repair"

REPAIR = '''\
"""Declares the operators a CUDA-built torchvision misses beside a CPU torch (see scripts/repair_torchvision.py)."""

import importlib.abc
import sys

_library = None


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; declares the schemas when torchvision is first looked for, so torch is imported no earlier."""

    def find_spec(self, name, path=None, target=None):
        global _library
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            _library = torch.library.Library("torchvision", "FRAGMENT")  # unloading it would drop the schemas
            for operator in ("nms", "qnms"):
                _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
'''


def import_error() -> str:
    """The last line of what ``import torchvision`` says in a fresh interpreter; empty when it works."""
    probe = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else probe.stderr.strip().rpartition("\n")[2]


def main() -> int:
    """Repairs if needed; exit status 1 when the import still fails."""
    error = import_error()
    if not error:
        print("torchvision imports; nothing to repair")
        return 0
    if "torchvision::nms does not exist" not in error:
        print(f"torchvision does not import, and this script knows no repair: {error}", file=sys.stderr)
        return 1
    site_packages = Path(sysconfig.get_path("purelib"))
    (site_packages / f"{MODULE}.py").write_text(REPAIR)
    (site_packages / f"{MODULE}.pth").write_text(f"import {MODULE}\n")
    error = import_error()
    print(f"repair failed: {error}" if error else f"repaired: wrote {MODULE}.py and {MODULE}.pth to {site_packages}")
    return 1 if error else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Test with the oldest, the pinned and the newest dependencies on every Python that is here; an environment each.

    .venv/bin/python scripts/test_matrix.py --pythons 3.12 --versions oldest newest --tests tests/video

uv makes the environments, in ``.matrix``, from wheels alone. On Linux, torch from PyPI is built for CUDA and takes
several GB for each of its versions; with ``UV_TORCH_BACKEND=cpu`` in the environment, uv takes the much smaller CPU
builds from PyTorch's own index.
"""

import argparse
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
VERSIONS = {
    "oldest": ["--resolution", "lowest-direct"],
    "pinned": ["--constraint", "constraints.txt"],
    "newest": [],
}
TESTS = ["test_versions.py", "video", "test_package.py", "folding", "models", "app", "cli/test_demo.py"]


def main() -> int:
    """Run the cells and print what became of each; 1 if one failed or none could be run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pythons", nargs="+", default=PYTHONS, metavar="PYTHON")
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS), choices=VERSIONS)
    parser.add_argument("--tests", nargs="+", default=[f"tests/{each}" for each in TESTS], metavar="PATH")
    options = parser.parse_args()
    outcomes = {}
    for python, versions in product(options.pythons, options.versions):
        start = time.monotonic()
        outcome = tested(python, versions, options.tests)
        outcomes[python, versions] = f"{outcome:<20} {time.monotonic() - start:5.0f} s"
        print(f"== {python} {versions}: {outcome}", flush=True)
    print("\n== " + "\n== ".join(f"{python:5} {versions:7} {said}" for (python, versions), said in outcomes.items()))
    ran = [said for said in outcomes.values() if not said.startswith("missing")]
    return 0 if ran and all(said.startswith("passed") for said in ran) else 1


def tested(python: str, versions: str, tests: list[str]) -> str:
    """What became of the tests in a new environment: passed, failed, not installed, or that the Python is missing."""
    place = ROOT / ".matrix" / f"{python}-{versions}"
    install = ["uv", "pip", "install", "--quiet", "--python", str(place)]
    wheels = ["--only-binary", ":all:", "--requirements", "pyproject.toml", "--extra", "dev", *VERSIONS[versions]]
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    if run("uv", "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python, str(place)):
        return "missing Python"
    if run(*install, *wheels) or run(*install, "--no-deps", "--editable", "."):
        return "not installed"
    run("uv", "pip", "freeze", "--python", str(place))
    if run(str(scripts / "vidfold"), "repair") or run(str(scripts / "python"), "-m", "pytest", "-n", "2", *tests):
        return "failed"
    return "passed"


def run(*command: str) -> int:
    """The exit status of a command in the project's folder, with the scripts beside this Python first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    print("$", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())

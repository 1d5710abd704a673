"""Run every example of README.md and docs/ as printed, in a new environment with the built wheel.

python scripts/test_docs.py [README.md docs/cli.md ...]
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from doc_blocks import blocks

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".venv-test-docs"
SCRIPTS = PLACE / ("Scripts" if os.name == "nt" else "bin")


def main() -> int:
    """Build, install, run every page; 1 if one failed."""
    pages = [Path(each).absolute() for each in sys.argv[1:]] or [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    pages = [page for page in pages if blocks(page)]
    install()
    failed = [page.name for page in pages if not passes(page)]
    for page in pages:
        for block in blocks(page):
            if block.left_out:
                print(f"{page.name}: {block.left_out.removeprefix('# ')}")
    print(f"failed: {', '.join(failed)}" if failed else "every other example ran as printed")
    print(f"{len(pages) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def install() -> None:
    """A new environment with the wheel of this tree and its extras, and nothing of the tree itself."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(PLACE, clear=True, with_pip=True)
        pip("wheel", "--no-deps", "--wheel-dir", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        # torch first, so that no open range fetches another build.
        pip("install", "--constraint", str(ROOT / "constraints.txt"), "torch")
        pip("install", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[all]")
    subprocess.run([SCRIPTS / "vidfold", "repair"], check=True)


def pip(*arguments: str) -> None:
    """Run pip of the new environment."""
    print("$ pip", *arguments, flush=True)
    command = [SCRIPTS / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def passes(page: Path) -> bool:
    """Whether all examples of a page run, in a new folder."""
    environment = os.environ | {"PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        command = [SCRIPTS / "python", ROOT / "scripts" / "doc_blocks.py", page, folder]
        return subprocess.run(command, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())

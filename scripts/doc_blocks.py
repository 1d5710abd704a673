"""The examples of a page, and how they are run: in order, in one folder, Python in one namespace.

    python scripts/doc_blocks.py README.md FOLDER

Blocks marked ``sh`` and ``python`` are run, unless their first line is a comment that says why not: "# not run: ..." or
"# in the clone".
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
LEFT_OUT = ("# not run: ", "# in the clone")


@dataclass(frozen=True)
class Block:
    """An example.

    Attributes:
        language: sh or python.
        text: as printed.
    """

    language: str
    text: str

    @property
    def left_out(self) -> str:
        """The comment that says why it is not run; empty where it is."""
        first = self.text.partition("\n")[0]
        return first if first.startswith(LEFT_OUT) else ""


def blocks(page: Path) -> list[Block]:
    """The examples of a page, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def run(page: Path) -> None:
    """Run the examples of a page here; raises where one fails."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.left_out:
            continue
        print(f"--- {page.name}, {block.language}\n{block.text}---", flush=True)
        if block.language == "python":
            exec(compile(block.text, page.name, "exec"), namespace)
        else:
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=True)


if __name__ == "__main__":
    document = Path(sys.argv[1]).absolute()
    os.chdir(sys.argv[2])
    run(document)

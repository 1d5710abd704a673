"""The package imports only torch, and the examples in its documents run."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import vidfold
from tests.conftest import make_video
from vidfold import Reduction, VideoTokens
from vidfold.reducers import base
from vidfold.tiny import worlds

ROOT = Path(__file__).parent.parent


def test_other_packages_are_imported_only_where_they_are_used():
    code = """
import sys, torch, vidfold, vidfold.folding, vidfold.models.attention.received
from vidfold.transport import sinkhorn
sinkhorn(torch.rand(1, 3, 4))
print([name for name in ("transformers", "torchvision", "triton", "av", "PIL") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_public_names_exist():
    assert all(hasattr(vidfold, name) for name in vidfold.__all__)


def python_blocks(document: str) -> list[str]:
    """The Python examples of a document, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_readme_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for block in python_blocks("README.md"):
        exec(compile(block, "README.md", "exec"), namespace)
    answer, report = capsys.readouterr().out.strip().splitlines()
    assert answer in worlds.COLORS
    assert report.startswith("tokens 288 -> 29")


def test_contributing_example_runs():
    namespace = dict(vars(base)) | {"dataclass": dataclass, "VideoTokens": VideoTokens, "Reduction": Reduction}
    (block,) = python_blocks("CONTRIBUTING.md")
    exec(compile(block, "CONTRIBUTING.md", "exec"), namespace)
    video = make_video()
    method = namespace["MostAttended"](0.25)
    assert len(method(video)) == method.count(video.frames, video.cells)

"""The package imports only torch, and the examples in its documents run."""

import logging
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import vidfold
from scripts.doc_blocks import blocks
from tests.conftest import make_video
from vidfold import Reduction, VideoTokens, tiny
from vidfold.cli.program import parser
from vidfold.reducers import base
from vidfold.tiny import worlds
from vidfold.video import write

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
    """The Python examples of a document that run, in order."""
    found = blocks(ROOT / document)
    return [each.text for each in found if each.language == "python" and not each.left_out]


DOCUMENTS = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/*.md")))]


AFTER_COMMANDS = {"docs/batch.md"}
"""Pages whose Python reads what commands before it wrote: only ``make test-docs`` runs them."""


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if python_blocks(each) and each not in AFTER_COMMANDS])
def test_examples_run(tmp_path, monkeypatch, capsys, caplog, document):
    monkeypatch.chdir(tmp_path)
    # An example sets up the log for good.
    monkeypatch.setattr("logging.basicConfig", lambda: None)
    caplog.set_level(logging.NOTSET, "vidfold")
    write("clip.mp4", tiny.render(seed=1_000_000_004).frames, fps=2, scale=4, hold=12)
    namespace: dict = {}
    for block in python_blocks(document):
        exec(compile(block, document, "exec"), namespace)
    if document in ("README.md", "docs/folding.md"):
        answer, report = capsys.readouterr().out.strip().splitlines()
        assert answer in worlds.COLORS
        assert report.startswith("tokens 288 -> 29")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_examples_exist(document):
    """The parser of the command line knows every command and option that a page shows."""
    for block in blocks(ROOT / document):
        for line in block.text.replace("\\\n", " ").splitlines() if block.language == "sh" else ():
            for words in commands(line):
                parser().parse_args(words)


def commands(line: str) -> list[list[str]]:
    """The arguments of every call of vidfold in a line of a shell."""
    calls = [shlex.split(part, comments=True) for part in re.split(r"&&|\||>", line)]
    return [words[1:] for words in calls if words[:1] == ["vidfold"] and not words[1].startswith("--")]


def test_contributing_example_runs():
    namespace = dict(vars(base)) | {"dataclass": dataclass, "VideoTokens": VideoTokens, "Reduction": Reduction}
    (block,) = python_blocks("CONTRIBUTING.md")
    exec(compile(block, "CONTRIBUTING.md", "exec"), namespace)
    video = make_video()
    method = namespace["MostAttended"](0.25)
    assert len(method(video)) == method.count(video.frames, video.cells)

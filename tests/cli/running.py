"""The clip that commands are tried on, and what bad input gets."""

from vidfold.cli import main
from vidfold.tiny import questions, render, seeds

CLIP = render(seeds("search", 1)[0])
QUESTION = questions(CLIP)[0]


def refused(capsys, *arguments: str) -> str:
    """The one line that bad input gets."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    waiting = ("...", *(f"/{frames}" for frames in (8, 32)))  # what a slow machine says meanwhile
    lines = [line for line in captured.err.splitlines() if not line.endswith(waiting)]
    assert len(lines) == 1
    assert lines[0].startswith("vidfold: ")
    return lines[0].removeprefix("vidfold: ")

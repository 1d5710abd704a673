"""The command line as a whole: errors, exit codes, and as a process of its own."""

import subprocess
import sys

import numpy as np
import pytest

import vidfold
from vidfold.cli import main
from vidfold.cli.program import parser


def test_without_a_command_the_help_is_printed(capsys):
    assert main([]) == 0
    assert "usage: vidfold [-h]" in capsys.readouterr().out
    assert main(["bench"]) == 0
    assert "usage: vidfold bench [-h]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (["demo", "--out", "DIR"], ["demo", "--output", "DIR"]),
        (["ask", "a.mp4", "what?", "--methods", "tome"], ["ask", "a.mp4", "what?", "--method", "tome"]),
        (["bench", "quality", "--method", "tome"], ["bench", "quality", "--methods", "tome"]),
        (
            ["bench", "features", "--videos", "D", "--tower", "T", "--method", "tome"],
            ["bench", "features", "--videos", "D", "--tower", "T", "--methods", "tome"],
        ),
    ],
)
def test_other_names_of_options(older, newer):
    assert parser().parse_args(older) == parser().parse_args(newer)


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"vidfold {vidfold.__version__}\n")


def test_completion(capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as end:
        main(["--completion", "bash"])
    script = capsys.readouterr().out
    assert not end.value.code
    assert all(word in script for word in ("reproduce", "--retention", "_shtab_compgen_files"))


def test_verbose_shows_the_log(capsys, clip):
    assert main(["ask", clip, "what is the first scene?", "--verbose"]) == 0
    assert "vidfold.folding.folder: tokens 288 -> 29" in capsys.readouterr().err
    assert main(["ask", clip, "what is the first scene?"]) == 0
    assert "vidfold" not in capsys.readouterr().err


def test_debug_shows_the_error(clip):
    with pytest.raises(ValueError, match="retention must be in"):
        main(["ask", clip, "what?", "--retention", "2", "--debug"])


def test_unexpected_errors_are_raised(clip, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("vidfold.video.sample", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["ask", clip, "what?"])


def test_interrupt(capsys, clip, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vidfold.video.sample", interrupted)
    assert main(["ask", clip, "what?"]) == 130
    assert capsys.readouterr().err == "vidfold: interrupted\n"


@pytest.mark.lab
def test_as_a_process(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    command = [sys.executable, "-m", "vidfold", "ask", str(path), "what?"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vidfold: '")
    assert done.stderr.count("\n") == 1
    assert "cannot be read as a video" in done.stderr


NOT_UTF8 = "\\udce9' is not UTF-8 text: set the terminal or script to UTF-8\n"


def test_an_argument_in_another_encoding_than_utf8(capsys):
    assert main(["ask", "clip.mp4", "is this a cafe?\udce9"]) == 2
    assert capsys.readouterr().err == f"vidfold: argument 'is this a cafe?{NOT_UTF8}"


@pytest.mark.lab
def test_a_file_name_in_another_encoding_than_utf8():
    command = [sys.executable, "-m", "vidfold", "ask", b"clip.mp4\xe9", b"is this a cafe?"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (2, f"vidfold: argument 'clip.mp4{NOT_UTF8}")


def test_help_needs_neither_torch_nor_transformers():
    program = """
import sys
from vidfold.cli import main
from vidfold.cli.program import parser
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
assert not {"torch", "transformers", "av", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: vidfold" in done.stdout

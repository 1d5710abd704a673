"""``vidfold bench quality --suite``."""

import pytest

from vidfold.cli import main


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--videos", "a.mp4"), "--suite has its own clips, seeds and models: omit --videos"),
        (("--frames", "8"), "--suite has its own clips, seeds and models: omit --frames"),
        (("--world", "first"), "--suite has its own clips, seeds and models: omit --world"),
        (("--seed", "0"), "--suite has its own clips, seeds and models: omit --seed"),
        (("--model", "tiny-whole"), "--suite has its own clips, seeds and models: omit --model"),
        (("--dtype", "bfloat16"), "--suite has its own clips, seeds and models: omit --dtype"),
        (("--methods", "none"), "unknown method 'none'"),
        (("--methods", "aot", "fastv"), "fastv works inside the language model"),
        (("--methods", "identity"), "a suite compares methods, got ['identity']"),
        (("--retention", "2"), "retention must be in (0, 1], got 2.0"),
        (("--clips", "0"), "clips must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments_raise(capsys, tmp_path, given, message):
    arguments = () if "--methods" in given else ("--methods", "random")
    assert main(["bench", "quality", "--suite", "final", *arguments, *given, "--output", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vidfold: {message}")
    assert list(tmp_path.iterdir()) == []


def test_error_names_missing_weights(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("vidfold.tiny.path", lambda read="varied": tmp_path / f"weights-{read}")
    arguments = ("--suite", "search", "--methods", "random", "--clips", "1", "--output", str(tmp_path / "out"))
    assert main(["bench", "quality", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("vidfold: the model 'tiny', which a suite also needs, has no weights in ")

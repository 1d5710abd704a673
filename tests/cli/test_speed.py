"""``vidfold bench speed``."""

import pytest
import torch

from tests.bench.speed_runs import from_json, read
from tests.cli.running import refused
from vidfold.cli import main

QUICK = ("bench", "speed", "--new-tokens", "2", "--frames", "4")


def test_tables_are_printed_and_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert main([*QUICK, "--retention", "0.25", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "4 frames, batch 1: 144 visual and" in out
    for row in ("vision tower", "saliency", "fold", "splice", "prefill", "first token", "a further token", "cache"):
        assert f"\n{row} " in out
    assert "aot 25 %" in out
    assert "above the oracle's: " in out
    assert "wrote " in out
    assert read(tmp_path / "out" / "speed.json").cases[0].way("folded").tokens == (36,)
    assert "| first token |" in (tmp_path / "out" / "speed.md").read_text(encoding="utf-8")


def test_json(capsys, clip):
    arguments = ("--json", "--batch", "1", "2", "--method", "random", "--set", "seed=3", "--video", clip)
    assert main([*QUICK, *arguments]) == 0
    results = from_json(capsys.readouterr().out)
    assert [case.batch for case in results.cases] == [1, 2]
    assert results.method["seed"] == 3
    assert results.video == clip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--frames", "0"), "frames must be a whole number of at least 1, got 0"),
        (("--batch", "0"), "batches must be a whole number of at least 1, got 0"),
        (("--runs", "0"), "runs must be a whole number of at least 3, got 0"),
        (("--minutes", "-1"), "minutes must be positive, got -1.0"),
        (("--retention", "1.5"), "retention must be in (0, 1], got 1.5"),
        (("--method", "magic"), "unknown method 'magic'"),
        (("--method", "fastv"), "fastv works inside the language model"),
        (("--random-weights", "magic"), "unknown model 'magic'; there are: llava-onevision-0.5b"),
        (("--random-weights", "magic", "--model", "tiny"), "give --model or --random-weights, not both"),
        (("--random-weights", "magic", "--quantization", "4bit"), "random weights are not quantised"),
        (("--video", "nowhere.mp4"), "'nowhere.mp4' does not exist"),
        (("--model", "./nowhere"), "model './nowhere' is not a folder"),
        (("--random-weights", "llava-onevision-0.5b", "--device", "auto"), "speed is measured on one device, such as"),
        (("--random-weights", "llava-onevision-0.5b", "--device", "meta"), "got 'meta'"),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, message):
    assert message in refused(capsys, *QUICK, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("model", [(), ("--random-weights", "llava-onevision-0.5b")])
def test_missing_gpu(capsys, model):
    assert "device 'cuda' is not there" in refused(capsys, *QUICK, *model, "--device", "cuda")


def test_a_folder_that_is_a_file(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert "file" in refused(capsys, *QUICK, "--output", str(tmp_path / "file"))

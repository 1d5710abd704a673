"""``vidfold ask``."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.running import CLIP, QUESTION, refused
from vidfold.cli import main
from vidfold.tiny import path as weights
from vidfold.video import write


def test_ask(capsys, clip):
    assert main(["ask", clip, QUESTION.text]) == 0
    out = capsys.readouterr().out
    assert f"answer      {QUESTION.answer}" in out
    assert "tokens      288 -> 29 (10.1 %)" in out
    told = " ".join(out.split())  # long paths wrap
    for word in ("clip.mp4, 4.0 s, 8 frames of 384 x 384", "aot(retention=0.1)", "positions", "loaded in"):
        assert word in told
    for stage in ("decode", "preprocess", "encode", "fold", "splice", "generate"):
        assert f"\n{stage} " in out


def test_ask_compares(capsys, clip):
    assert main(["ask", clip, QUESTION.text, "--compare", "--retention", "0.25", "--method", "random"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert lines["unfolded"] == ["folded"]
    assert lines["tokens"] == ["288", "288", "->", "72", "(25.0", "%)"]
    assert lines["fold"][0] == "-"
    assert lines["answer"][0] == QUESTION.answer


def test_ask_in_json(capsys, clip):
    arguments = ["ask", clip, QUESTION.text, "--json", "--compare", "--frames", "4", "--method", "aot-paper"]
    fields = ("keep=0.5", "segments=dynamic", "carry_mass=true", "repeat_key=False")
    assert main([*arguments, *(word for field in fields for word in ("--set", field))]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["method"]["name"] == "aot-paper"
    chosen = {"keep": 0.5, "segments": "dynamic", "carry_mass": True, "repeat_key": False, "retention": 0.1}
    assert report["method"].items() >= chosen.items()
    assert report["frames"] == len(report["timestamps"]) == 4
    assert report["folded"]["tokens_before"] == report["unfolded"]["tokens_after"] == 144
    assert report["folded"]["tokens_after"] == 14
    assert report["folded"]["cache_bytes"] < report["unfolded"]["cache_bytes"]
    assert set(report["milliseconds"]) == {"decode", "load"}


def test_warning_when_everything_is_kept(capsys, clip):
    assert main(["ask", clip, QUESTION.text, "--retention", "1", "--method", "random"]) == 0
    assert "nothing was reduced: random kept all of 288 tokens" in capsys.readouterr().out


def test_short_video_uses_all_its_frames(capsys, tmp_path):
    path = str(tmp_path / "short.mp4")
    write(path, CLIP.frames[:5], scale=2)
    assert main(["ask", path, QUESTION.text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 5
    assert main(["ask", path, QUESTION.text, "--stream", "0", "--frames", "8"]) == 0
    assert "8 frames were asked for, and the video has 5" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--retention", "0"], "retention must be in (0, 1], got 0.0"),
        (["--retention", "1.5"], "retention must be in (0, 1], got 1.5"),
        (["--retention", "abc"], "must be a number in (0, 1], got 'abc'"),
        (["--retention", "nan"], "retention must be in (0, 1], got nan"),
        (["--frames", "0"], "frames must be a whole number of at least 1, got 0"),
        (["--stream", "3"], "has no video stream 3; its video streams: 0 (h264, 384 x 384)"),
        (["--frames", "many"], "'many'"),
        (["--method", "magic"], "unknown method 'magic'; there are: aot"),
        (["--set", "magic=1"], "aot has no field 'magic'"),
        (["--set", "keep"], "--set takes NAME=VALUE, such as keep=0.5, got 'keep'"),
        (["--method", "aot-paper", "--set", "keep=much"], "keep must be a number in [0, 1], got 'much'"),
        (["--method", "aot-paper", "--set", "epsilon=much"], "epsilon"),
        (["--method", "identity", "--retention", "0.5"], "identity has no field 'retention'"),
        (["--max-new-tokens", "0"], "max_new_tokens must be a whole number of at least 1, got 0"),
        (["--model", "./nowhere"], "model './nowhere' is not a folder"),
        (["--device", "nowhere"], "nowhere"),
        (["--attn", "magic"], "invalid choice: 'magic'"),
        (["--magic"], "unrecognized arguments: --magic"),
    ],
)
def test_bad_arguments(capsys, clip, arguments, message):
    assert message in refused(capsys, "ask", clip, "what?", *arguments)


def test_bad_questions_and_files(capsys, clip, tmp_path):
    assert "question must not be empty" in refused(capsys, "ask", clip, " ")
    assert "does not exist" in refused(capsys, "ask", str(tmp_path / "nowhere.mp4"), "what?")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "is empty" in refused(capsys, "ask", str(empty), "what?")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(Path(clip).read_bytes()[:5000])
    assert "cut short" in refused(capsys, "ask", str(cut), "what?")
    assert "the following arguments are required: question" in refused(capsys, "ask", clip)


def test_features_that_are_not_finite(capsys, clip, tmp_path):
    from vidfold.app.loading import load

    loaded = load(device="cpu")
    with torch.no_grad():
        next(loaded.model.base_model.multi_modal_projector.parameters()).fill_(torch.nan)
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    capsys.readouterr()
    assert "features must be finite" in refused(capsys, "ask", clip, "what?", "--model", str(tmp_path))


def test_hub_model_without_connection(capsys, clip, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "not in the local cache" in refused(capsys, "ask", clip, "what?", "--model", "nobody/nothing")


@pytest.mark.parametrize("module", ["av", "transformers"])
def test_error_names_missing_packages(capsys, clip, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    told = refused(capsys, "ask", clip, "what?")
    assert f"{module} is not installed: pip install " in told
    assert f"'{module}<" in told


def test_progress_is_shown_when_slow(capsys, clip, monkeypatch):
    monkeypatch.setattr("vidfold.app.progress.PATIENCE", 0.0)
    assert main(["ask", clip, QUESTION.text, "--json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert "decoding frame 1/8" in captured.err
    assert "loading tiny ..." in captured.err


def test_weights_folder_loads_like_any_model(capsys, clip):
    assert main(["ask", clip, QUESTION.text, "--model", str(weights()), "--dtype", "float32", "--frames", "8"]) == 0
    assert QUESTION.answer in capsys.readouterr().out


def test_a_checkpoint_with_code_is_named_with_the_flag_that_allows_it(capsys, clip, tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("open('ran', 'w')")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "code.Own"}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    assert "--trust-remote-code" in refused(capsys, "ask", clip, "what?", "--model", str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_damaged_checkpoint_is_one_line_unless_debug_is_asked_for(capsys, clip, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava_onevision", "text_config": 5}))
    arguments = ["ask", clip, "what?", "--model", str(tmp_path)]
    assert refused(capsys, *arguments).startswith(f"model '{tmp_path}' cannot be loaded: ")
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        main([*arguments, "--debug"])
    assert error.value.__cause__ is not None

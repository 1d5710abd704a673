"""``vidfold show``."""

import pytest

from tests.cli.running import QUESTION, refused
from tests.show.pages import record
from vidfold.cli import main


def test_a_page_and_a_picture(capsys, clip, tmp_path):
    output, picture = tmp_path / "report.html", tmp_path / "fold.svg"
    arguments = ["--question", QUESTION.text, "--beside", "random", "--retentions", "0.25"]
    assert main(["show", clip, *arguments, "--output", str(output), "--still", str(picture)]) == 0
    told = "".join(capsys.readouterr().out.split())  # long paths go on in another line
    assert "folded288->29tokens" in told
    assert "report.html" in told
    data = record(output.read_text("utf-8"))
    assert [view["details"] for view in data["views"]] == [
        "aot(retention=0.1)",
        "aot(retention=0.25)",
        "random(retention=0.1)",
        "random(retention=0.25)",
    ]
    assert data["question"] == QUESTION.text
    assert data["unfolded"]["answer"] == QUESTION.answer
    assert data["title"] == "clip.mp4"
    assert "<svg" in picture.read_text("utf-8")


def test_a_number_of_tokens_has_no_slider(clip, tmp_path):
    output = tmp_path / "report.html"
    assert main(["show", clip, "--tokens", "20", "--frames", "8", "--output", str(output)]) == 0
    assert [view["details"] for view in record(output.read_text("utf-8"))["views"]] == ["aot(tokens=20)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --output report.html, --still picture.png or both"),
        (["--still", "fold.gif"], "--still must end in .png or .svg, got 'fold.gif'"),
        (["--output", "a.html", "--stream"], "a page shows frames: give the video itself, without --stream"),
        (["--output", "a.html", "--beside", "magic"], "unknown method 'magic'"),
        (["--output", "a.html", "--retentions", "2"], "retention must be in (0, 1], got 2.0"),
        (["--output", "a.html", "--question", " "], "question must not be empty"),
        (["--output", "/dev/null/a.html", "--retentions"], "cannot write"),
        (["--output", "a.html", "--choose", "no/model"], "--choose no/model needs one question, got 0"),
        (["--output", "a.html", "--choose", "no/model", "--question", "what?"], "'no/model'"),
    ],
)
def test_bad_arguments(capsys, clip, arguments, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert message in refused(capsys, "show", clip, *arguments)

"""``vidfold ask --tower``."""

import json

import pytest

from tests.cli.running import CLIP, QUESTION, refused
from vidfold.cli import main


def test_ask_prints_the_share_that_the_tower_computes(capsys, clip):
    assert main(["ask", clip, QUESTION.text, "--tower", "still", "--tower-set", "share=0.5"]) == 0
    out = capsys.readouterr().out
    assert "still(share=0.5), 50 % computed" in " ".join(out.split())
    assert f"answer      {QUESTION.answer}" in out


def test_held_frames_are_computed_once(capsys, tmp_path):
    path = tmp_path / "held"
    path.mkdir()
    for number, frame in enumerate(CLIP.frames[[0, 0, 0, 1]]):
        write_picture(path / f"{number}.png", frame)
    assert main(["ask", str(path), QUESTION.text, "--json", "--tower", "repeats"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tower"] == {"name": "repeats"}
    assert report["folded"]["tower_share"] == 0.5


def write_picture(path, frame):
    from PIL import Image

    Image.fromarray(frame).save(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tower", "stil"], "unknown tower method 'stil'; did you mean 'still'? there are: repeats, still"),
        (["--tower", "still", "--tower-set", "share=2"], "share must be in (0, 1], got 2"),
        (["--tower", "still", "--tower-set", "keep=2"], "still has no field 'keep'"),
        (["--tower", "still", "--tower-set", "keep"], "--tower-set takes NAME=VALUE, such as share=0.5, got 'keep'"),
        (["--tower-set", "share=0.5"], "--tower-set share=0.5 needs a tower method, such as --tower still"),
    ],
)
def test_bad_tower_methods_are_refused(capsys, clip, arguments, message):
    assert message in refused(capsys, "ask", clip, QUESTION.text, *arguments)


def test_what_is_read_once_takes_no_tower_method(capsys, clip):
    told = refused(capsys, "ask", clip, QUESTION.text, "and what then?", "--tower", "still")
    assert told == "--tower takes one question about a video file"

"""``vidfold demo``."""

import argparse

from tests.cli.running import CLIP
from vidfold.cli import demo, main
from vidfold.cli.demo import FRAMES
from vidfold.tiny import questions, render
from vidfold.tiny.questions import KINDS


def test_demo(capsys, tmp_path):
    assert main(["demo", "--out", str(tmp_path / "a" / "b"), "--seed", str(CLIP.seed)]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "a" / "b" / "clip.mp4").is_file()
    assert "tokens 576 -> 58 (10.1 %)" in out
    asked = questions(render(CLIP.seed, FRAMES))
    assert sum(question.text in out for question in asked) == len({question.kind for question in asked})
    assert "generate" in out


def test_demo_clip_has_cuts_and_every_kind_of_question():
    options = argparse.ArgumentParser()
    demo.add(options.add_subparsers())
    clip = render(options.parse_args(["demo"]).seed, FRAMES)
    assert len(clip.shots) > 1
    assert {question.kind for question in questions(clip)} == set(KINDS)

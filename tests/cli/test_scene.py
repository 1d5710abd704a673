"""``vidfold scene``."""

import json
from dataclasses import asdict

import pytest

from tests.cli.running import CLIP, QUESTION, refused
from vidfold.cli import main
from vidfold.tiny import questions, render
from vidfold.tiny.scenes import SECOND_WORLD
from vidfold.video import sample


def test_scene(capsys, tmp_path):
    path = tmp_path / "scene.mp4"
    assert main(["scene", str(path), "--seed", str(CLIP.seed), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["questions"][0] == asdict(QUESTION)
    assert path.stat().st_size > 0
    assert main(["scene", str(path), "--seed", str(CLIP.seed)]) == 0
    out = capsys.readouterr().out
    assert all(question.text in out and question.answer in out for question in questions(CLIP))
    assert "seed" in refused(capsys, "scene", str(path), "--seed", "-1")
    assert "must end in .mp4" in refused(capsys, "scene", str(path.with_suffix(".avi")), "--seed", "1")


def test_length_and_world(capsys, tmp_path):
    path, seed = tmp_path / "scene.mp4", SECOND_WORLD + CLIP.seed
    assert main(["scene", str(path), "--seed", str(seed), "--frames", "20"]) == 0
    out = capsys.readouterr().out
    assert all(question.text in out for question in questions(render(seed, 20)))
    assert sample(path, 20).duration == 10
    assert "frames must be at least 1; got 0" in refused(capsys, "scene", str(path), "--seed", "1", "--frames", "0")
    with pytest.raises(SystemExit):
        main(["scene", "--help"])
    assert "10000000000" in capsys.readouterr().out

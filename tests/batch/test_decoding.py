"""Decoding of whole videos, parts and addresses; and processes that crash."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from vidfold.batch.decoder import PROGRAM, Decoder
from vidfold.batch.decoding import Cut, decoded
from vidfold.batch.processes import ended_by
from vidfold.tiny import render, seeds
from vidfold.video import sample, write


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """Four seconds of two frames a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, render(seeds("search", 1)[0]).frames)
    return str(path)


def test_a_whole_video(clip, tmp_path):
    assert np.array_equal(decoded(Cut(clip, 4), tmp_path).pixels, sample(clip, 4).pixels)


def test_a_part_of_a_video(clip, tmp_path):
    every = sample(clip, 8)
    part = decoded(Cut(clip, 8, start=1.0, end=2.6), tmp_path)
    assert part.timestamps.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert np.array_equal(part.pixels, every.pixels[2:6])
    assert (part.duration, part.total) == (pytest.approx(1.6), 4)
    assert decoded(Cut(clip, 2, start=3.0), tmp_path).timestamps.tolist() == [0.0, 0.5]
    assert decoded(Cut(clip, 2, end=1.0), tmp_path).duration == 1.0


def test_parts_that_are_none(clip, tmp_path):
    with pytest.raises(ValueError, match=r"has no frame from 9 s to its end: it is 4.0 s long"):
        decoded(Cut(clip, 4, start=9.0), tmp_path)
    with pytest.raises(ValueError, match="frames of a part of a video are taken evenly, got choose='novel'"):
        decoded(Cut(clip, 4, "novel", start=1.0), tmp_path)


def test_addresses(clip, tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    with open(clip, "rb") as file:
        memory.pipe("/good.mp4", file.read())
    memory.pipe("/bad.mp4", b"no video")
    assert len(decoded(Cut("memory://good.mp4", 4), tmp_path)) == 4
    with pytest.raises(ValueError, match=r"^'memory://bad.mp4' cannot be read as a video"):
        decoded(Cut("memory://bad.mp4", 4), tmp_path)
    with pytest.raises(ValueError, match=r"'memory://gone.mp4' cannot be read: FileNotFoundError"):
        decoded(Cut("memory://gone.mp4", 4), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_answers_at_the_third_try(clip, tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    monkeypatch.setattr("vidfold.batch.decoding.PAUSE", 0.01)
    asked = list[str]()

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            missing = 404 if "gone" in self.path else 503
            self.send_response(200 if len(asked) > 2 and missing == 503 else missing)
            self.end_headers()
            self.wfile.write(Path(clip).read_bytes())

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert len(decoded(Cut(f"{host}/clip.mp4", 4), tmp_path)) == 4
        asked.clear()
        with pytest.raises(ValueError, match=r"gone.mp4' cannot be read: .*404, message='Not Found'"):
            decoded(Cut(f"{host}/gone.mp4", 4), tmp_path)
        assert len(asked) <= 2  # its size, and what it holds
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ValueError, match=r"clip.mp4' cannot be read: ClientConnectorError"):
        decoded(Cut(f"{host}/clip.mp4", 4), tmp_path)


def test_why_a_process_ended():
    assert ended_by(-9) == "SIGKILL, as when memory runs out"
    assert (ended_by(-11), ended_by(3)) == ("SIGSEGV", "exit code 3")


@pytest.mark.lab
def test_a_decoder_that_crashes(clip, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("too many processes")

    decoder = Decoder(timeout=60, retries=1)
    try:
        assert len(decoder.frames(Cut(clip, 4))) == 4
        os.kill(decoder._process.pid, signal.SIGSEGV)  # before the video: the next process decodes it
        assert len(decoder.frames(Cut(clip, 4))) == 4
        with pytest.raises(ValueError, match="does not exist"):
            decoder.frames(Cut(clip + "no such", 4))
        ended = threading.Event()

        def end() -> None:
            while not ended.is_set():
                with suppress(ProcessLookupError):
                    os.kill(decoder._process.pid, signal.SIGSEGV)
                time.sleep(0.01)

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(ValueError, match="ended the process that decoded it: SIGSEGV, 2 times"):
            decoder.frames(Cut(clip, 4))
        ended.set()
        thread.join()
        with monkeypatch.context() as patch:
            patch.setattr("subprocess.Popen", full)
            with pytest.raises(OSError, match="too many processes"):
                decoder.frames(Cut(clip, 4))
        assert len(decoder.frames(Cut(clip, 4))) == 4
    finally:
        decoder.close()


def test_a_decoder_that_nobody_listens_to_ends_in_silence():
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes) as decoder:
        decoder.stdout.close()
        assert decoder.wait(60) == 0
        assert decoder.stderr.read() == b""


def test_nothing_is_left_of_a_decoder(clip, tmp_path, monkeypatch):
    pytest.importorskip("filelock")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    decoder = Decoder(timeout=60, retries=1)
    assert len(decoder.frames(Cut(clip, 1))) == 1
    (first,) = tmp_path.glob("*/")
    decoder._process.kill()
    assert len(decoder.frames(Cut(clip, 1))) == 1
    (second,) = tmp_path.glob("*/")
    assert second != first
    decoder._input.close()  # as when the process that started it is killed
    decoder._process.wait(30)
    assert list(tmp_path.iterdir()) == []
    decoder.close()

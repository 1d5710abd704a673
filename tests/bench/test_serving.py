"""``vidfold bench serve``: its table, a stream of answers, and what it refuses; without vLLM."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from vidfold.bench.serving import Server, table
from vidfold.bench.serving.clients import Answer, Sample, measure
from vidfold.cli import main


def sample(way, clients, first, *, error=""):
    answer = Answer(first, 2 * first, prompt=100, cached=0, written=8, error=error)
    return Sample(way, clients, 1.0, (answer,) * 2, (Answer(first / 10, first, prompt=100, cached=80, written=8),) * 2)


def test_the_table_has_a_row_for_each_way():
    rows = table([sample("unfolded", 4, 0.2), sample("folded", 4, 0.1), sample("unfolded", 4, 0.4)]).splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["4", "unfolded"], ["4", "folded"]]
    assert "300 ms" in rows[1]
    assert "80 %" in rows[1]
    assert rows[2].endswith(" 0")


def test_errors_are_counted_and_leave_the_rest_out():
    rows = table([sample("unfolded", 1, 0.2, error="refused"), sample("folded", 1, 0.1)]).splitlines()
    assert rows[1].split()[2:] == [*"--------"[: len(rows[1].split()) - 3], "2"]


class Streaming(BaseHTTPRequestHandler):
    """Answers as vLLM streams them; remembers what it was asked."""

    asked: ClassVar[list] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        self.send_response(200)
        self.end_headers()
        usage = {"prompt_tokens": 70, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 32}}
        for part in ({"choices": [{"delta": {"content": "sea"}}]}, {"choices": [], "usage": usage}):
            self.wfile.write(f"data: {json.dumps(part)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


def test_both_ways_of_a_turn_are_asked_about_the_same_videos():
    with HTTPServer(("127.0.0.1", 0), Streaming) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        server = Server(web.server_port, Path(), None)
        videos = (f"video {number}" for number in range(100))
        samples = measure(server, [2], videos, requests=1, turns=2, new_tokens=2)
        web.shutdown()
    assert [each.way for each in samples] == ["unfolded", "folded", "folded", "unfolded"]
    for each in samples:
        assert all((answer.prompt, answer.cached, answer.written) == (70, 32, 2) for answer in each.answers)
    shown = {}
    for body in Streaming.asked[2:]:
        way = "unfolded" if "mm_processor_kwargs" in body else "folded"
        shown.setdefault(way, []).append(body["messages"][0]["content"][0]["video_url"]["url"])
    assert sorted(shown["unfolded"]) == sorted(shown["folded"])
    assert len(set(shown["folded"])) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clients", "0"], "--clients must be a whole number of at least 1, got 0"),
        (["--turns", "0"], "--turns must be"),
        (["--method", "identity"], "vLLM cannot serve the method 'identity'"),
        (["--method", "aot", "--retention", "1.0"], "--video-pruning-rate must be above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_server_starts(options, message, capsys):
    assert main(["bench", "serve", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named(capsys):
    assert main(["bench", "serve"]) == 2
    assert "pip install 'vidfold[serve]' (vllm>=0.32,<0.33)" in capsys.readouterr().err

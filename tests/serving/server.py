"""A vLLM server of its own for the tests, and what is asked of it."""

import base64
import contextlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass

from vidfold.bench.serving import server as bench

FIXED = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--max-num-batched-tokens", "2048"]
FIXED += ["--max-num-seqs", "16", "--block-size", "32", "--num-gpu-blocks-override", "80"]
"""A small cache, so that requests are preempted."""
FOLDED = ["--video-pruning-rate", "0.9", "--video-pruning-method", "aot", "--trust-request-mm-kwargs"]


@dataclass(frozen=True)
class Server:
    """A running server."""

    running: bench.Server

    def post(self, path, body, timeout=120):
        """Status and JSON of an answer."""
        address = f"http://127.0.0.1:{self.running.port}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.running.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def ask(self, content, budget=None, tokens=4, timeout=120, **more):
        """Status and answer of one question, greedily."""
        body = {"model": bench.NAME, "max_tokens": tokens, "temperature": 0, "return_token_ids": True}
        body |= {"messages": [{"role": "user", "content": content}], "ignore_eos": True} | more
        body |= {} if budget is None else {"mm_processor_kwargs": budget}
        return self.post("/v1/chat/completions", body, timeout)

    def metric(self, name):
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def text(words):
    return {"type": "text", "text": words}


def video(path, *, inline=True):
    url = f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}" if inline else path.as_uri()
    return {"type": "video_url", "video_url": {"url": url}}


def image(path):
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


@contextlib.contextmanager
def serving(model, log, *options):
    """A server that is ready, stopped at the end."""
    with bench.serving(str(model), log, [*FIXED, *map(str, options)], seconds=300) as running:
        yield Server(running)

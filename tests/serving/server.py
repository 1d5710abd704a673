"""A vLLM server of its own for the tests, and what is asked of it."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "DEBUG",
}
START = 300
"""Seconds a server may take to start."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    log: Path

    def post(self, path, body, timeout=120):
        """Status and JSON of an answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def ask(self, content, budget=None, tokens=4, timeout=120, **more):
        """Status and answer of one question, greedily."""
        body = {"model": "tiny", "max_tokens": tokens, "temperature": 0, "return_token_ids": True}
        body |= {"messages": [{"role": "user", "content": content}], "ignore_eos": True} | more
        body |= {} if budget is None else {"mm_processor_kwargs": budget}
        return self.post("/v1/chat/completions", body, timeout)


def text(words):
    return {"type": "text", "text": words}


def video(path, *, inline=True):
    url = f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}" if inline else path.as_uri()
    return {"type": "video_url", "video_url": {"url": url}}


def image(path):
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def command(model, port, *options):
    program = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    fixed = ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"]
    sizes = ["--max-num-batched-tokens", "2048", "--max-num-seqs", "16", "--enable-prompt-tokens-details"]
    return [*program, *fixed, *sizes, *map(str, options)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(model, log, *options, **environment):
    """A server that is ready, stopped at the end."""
    port = free_port()
    with open(log, "w") as output:
        process = subprocess.Popen(
            command(model, port, *options), stdout=output, stderr=output, env=os.environ | SETTINGS | environment
        )
    try:
        end = time.monotonic() + START
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            waits = process.poll() is None and time.monotonic() < end
            assert waits, Path(log).read_text()[-4000:]
            time.sleep(1)
        yield Server(port, Path(log))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()

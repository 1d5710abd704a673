"""Real vLLM servers with small random models of the other families; where vLLM is installed (``make test-vllm``)."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.serving.server import FOLDED, image, serving, text, video
from vidfold import AOT, fold
from vidfold.app.loading import load
from vidfold.tiny import render
from vidfold.video import sample, write

pytest.importorskip("vllm")

FAMILIES = ("internvl", "qwen2_5_vl", "qwen3_vl")
FRAMES = 8
"""Of each clip. In a longer one time has more positions than a row or column, and vLLM and transformers then differ in
where the text after a Qwen2.5-VL video goes on, unfolded, too."""
BUDGETS = (None, {"retention": 0.3}, {"tokens": 7}, {"retention": 1.0})
TOKENS = 6


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Upright clips, whose rows have larger positions than their columns, and wide ones."""
    folder = tmp_path_factory.mktemp("media")
    for number in range(2):
        pixels = render(number, frames=FRAMES).frames
        cut = pixels[:, :, :64] if number == 0 else pixels[:, :64]
        write(folder / f"clip{number}.mp4", cut, fps=2, scale=2)
    tall = np.random.default_rng(0).integers(0, 255, (168, 84, 3), np.uint8)
    Image.fromarray(tall).save(folder / "tall.png")
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, media, tmp_path_factory):
    """A server, and the greedy ids and log-probabilities of the folded model in transformers."""
    from tests.serving import random_models

    folder = tmp_path_factory.mktemp(request.param)
    getattr(random_models, request.param)(folder)
    # Parts of prompts so small that videos are read in several of them.
    options = ["--limit-mm-per-prompt", '{"image": 1, "video": 2}', "--long-prefill-token-threshold", 64]
    with serving(folder, tmp_path_factory.mktemp("server") / "log.txt", *FOLDED, *options) as server:
        yield server, Reference(load(str(folder), device="cpu", dtype="float32"))


class Reference:
    def __init__(self, loaded):
        self.loaded = loaded
        loaded.model.generation_config.eos_token_id = None

    def __call__(self, parts, budget):
        kinds = [{"type": kind} if kind != "text" else {"type": kind, "text": what} for kind, what in parts]
        prompt = self.loaded.written([{"role": "user", "content": kinds}])
        inputs = self.loaded.processor(text=prompt, return_tensors="pt", **pictures(parts))
        method = AOT(0.1) if budget is None else AOT(**budget)
        with fold(self.loaded.model, method):
            output = self.loaded.model.generate(
                **inputs,
                max_new_tokens=TOKENS,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        scores = torch.cat(output.logits).log_softmax(1)
        return ids, scores[range(len(ids)), ids].tolist()


def pictures(parts):
    videos = [sample(what, 32) for kind, what in parts if kind == "video"]
    images = [Image.open(what) for kind, what in parts if kind == "image"]
    given = {}
    if videos:
        given["videos"] = [each.pixels for each in videos]
        given["video_metadata"] = [each.metadata for each in videos]
        given["do_sample_frames"] = False
    return given | ({"images": images} if images else {})


def answered(server, parts, budget):
    content = [
        text(what) if kind == "text" else video(what) if kind == "video" else image(what) for kind, what in parts
    ]
    status, answer = server.ask(content, budget, TOKENS, logprobs=True, top_logprobs=0)
    assert status == 200, answer
    choice = answer["choices"][0]
    return choice["token_ids"], [each["logprob"] for each in choice["logprobs"]["content"]], answer["usage"]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_answers_are_those_of_transformers(family, media, budget):
    server, reference = family
    question = ("text", "what happens?")
    tall, wide, picture = ("video", media / "clip0.mp4"), ("video", media / "clip1.mp4"), ("image", media / "tall.png")
    for parts in (
        [tall, question],
        [wide, question],
        [tall, ("text", "and what now?")],  # the video is in the prefix cache
        [tall, wide, question],
        [picture, wide, question],
        [picture, question],
        [question],
    ):
        ids, scores, usage = answered(server, parts, budget)
        wanted, wanted_scores = reference(parts, budget)
        assert ids == wanted, (parts, usage)
        assert scores == pytest.approx(wanted_scores, abs=2e-3), (parts, usage)


def test_a_follow_up_question_hits_the_prefix_cache(family, media):
    server, reference = family
    clip = ("video", media / "clip1.mp4")
    answered(server, [clip, ("text", "what is first?")], {"tokens": 77})
    parts = [clip, ("text", "what is last?")]
    ids, scores, usage = answered(server, parts, {"tokens": 77})
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 64
    wanted, wanted_scores = reference(parts, {"tokens": 77})
    assert ids == wanted
    assert scores == pytest.approx(wanted_scores, abs=2e-3)

"""From sampled frames to an answer, with the embedded model."""

import dataclasses

import numpy as np
import pytest
import torch

from vidfold import AOT, Identity, Random
from vidfold.app.asking import ask, timed
from vidfold.app.loading import VideoModel, load
from vidfold.tiny import questions, render, seeds
from vidfold.video import Frames, sample, write

CLIP = render(seeds("search", 1)[0])
QUESTION = questions(CLIP)[0]


@pytest.fixture(scope="module")
def loaded() -> VideoModel:
    return load(device="cpu")


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Frames:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, CLIP.frames, fps=2, scale=4, hold=12)
    return sample(path, 8)


def test_unfolded_equals_transformers(loaded, frames):
    answer = ask(loaded, frames, QUESTION.text)
    content = [{"type": "video"}, {"type": "text", "text": QUESTION.text}]
    prompt = loaded.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = loaded.processor(text=prompt, videos=list(frames.pixels), return_tensors="pt")
    output = loaded.model.generate(**inputs, max_new_tokens=64, do_sample=False)
    length = inputs["input_ids"].shape[1]
    assert answer.text == loaded.processor.decode(output[0, length:], skip_special_tokens=True).strip()
    assert answer.tokens_before == answer.tokens_after == 8 * 36
    assert answer.cache_positions == output.shape[1] - 1
    assert set(answer.milliseconds) == {"preprocess", "encode", "generate"}


def test_the_embedded_model_answers_through_a_file(loaded, frames):
    for question in questions(CLIP):
        if question.kind in ("scene", "count"):
            assert ask(loaded, frames, question.text).text == question.answer
            assert ask(loaded, frames, question.text, Identity()).text == question.answer
    scene = next(question for question in questions(CLIP) if question.kind == "scene")
    assert ask(loaded, frames, scene.text, AOT(retention=0.25)).text == scene.answer


def test_folded_reads_fewer_tokens_and_caches_fewer_positions(loaded, frames):
    full = ask(loaded, frames, QUESTION.text, max_new_tokens=1)
    folded = ask(loaded, frames, QUESTION.text, AOT(retention=0.10), max_new_tokens=1)
    assert (folded.tokens_before, folded.tokens_after) == (288, 29)
    assert folded.retention == pytest.approx(29 / 288)
    assert full.cache_positions - folded.cache_positions == 288 - 29
    per_position = full.cache_bytes / full.cache_positions
    text = loaded.model.config.text_config
    head = text.hidden_size // text.num_attention_heads
    assert per_position == 2 * 4 * text.num_hidden_layers * text.num_key_value_heads * head
    assert folded.cache_bytes == per_position * folded.cache_positions
    assert set(folded.milliseconds) == {"preprocess", "encode", "fold", "splice", "generate"}
    assert all(time >= 0 for time in folded.milliseconds.values())


def test_keeping_everything_changes_nothing(loaded, frames):
    assert ask(loaded, frames, QUESTION.text, Identity()).text == ask(loaded, frames, QUESTION.text).text


def test_model_is_unchanged(loaded, frames):
    def hooks() -> int:
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in loaded.model.modules())

    before = hooks(), set(vars(loaded.model))
    ask(loaded, frames, QUESTION.text)
    ask(loaded, frames, QUESTION.text, Random(0.1))
    assert before == (hooks(), set(vars(loaded.model)))


def test_every_given_frame_is_used(loaded, frames):
    fewer = dataclasses.replace(frames, pixels=frames.pixels[:5], timestamps=frames.timestamps[:5])
    assert ask(loaded, fewer, QUESTION.text, Random(0.5), max_new_tokens=1).tokens_before == 5 * 36


def test_portrait_video(loaded, frames):
    tall = dataclasses.replace(frames, pixels=np.ascontiguousarray(frames.pixels[:, :, 90:201]))
    assert ask(loaded, tall, QUESTION.text, Random(0.5), max_new_tokens=1).tokens_before == 8 * 36


@pytest.mark.parametrize("question", ["", "  \n"])
def test_empty_question(loaded, frames, question):
    with pytest.raises(ValueError, match="question must not be empty"):
        ask(loaded, frames, question)


def test_prompt_too_long_for_an_answer(loaded, frames):
    with pytest.raises(ValueError, match="max_new_tokens must be a whole number of at least 1, got 0"):
        ask(loaded, frames, QUESTION.text, max_new_tokens=0)


def test_features_that_are_not_finite_are_named(frames):
    broken = load(device="cpu")
    with torch.no_grad():
        next(broken.model.base_model.multi_modal_projector.parameters())[0] = torch.nan
    with pytest.raises(ValueError, match=r"features must be finite, but \d+ of"):
        ask(broken, frames, QUESTION.text, AOT())


def test_times_wait_for_every_gpu_in_use(monkeypatch):
    waited: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: (0, 10, 20)[device])
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    result, milliseconds = timed(lambda: 7)
    assert (result, waited) == (7, [1, 2, 1, 2])
    assert milliseconds >= 0

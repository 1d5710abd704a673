"""Reading once and asking later is the same as folding and asking in one go, in every family."""

import threading

import pytest
import torch
from transformers import DynamicCache, StaticCache
from transformers.cache_utils import Cache, QuantizedLayer

from tests.models.matrix import CASES, FULL, STEPS, Keep, built, greedy, some
from vidfold import fold


def cut(case, model, frames=3):
    """A prompt with a video, and where its question begins."""
    inputs = case.inputs(model, prompts=(6,), frames=((frames,),))
    return inputs, inputs["input_ids"].shape[1] - 5


def opening(inputs, at, padding=0):
    """The inputs of the prompt without its question, padded on the left."""
    length = inputs["input_ids"].shape[1]
    found = {}
    for name, value in inputs.items():
        per_token = isinstance(value, torch.Tensor) and value.ndim == 2 and value.shape[1] == length and "ids" in name
        if name == "attention_mask" or per_token:
            value = torch.nn.functional.pad(value[:, :at], (padding, 0))
        found[name] = value
    return found


def read(case, model, padding=0, frames=3):
    inputs, at = cut(case, model, frames)
    kept = some(case, model, inputs)
    with fold(model, Keep(kept)) as folded:
        video = folded.read(**opening(inputs, at, padding))
    return inputs, inputs["input_ids"][:, at:], kept, video


def with_question(inputs, question):
    """The whole prompt with another question of the same length."""
    ids = torch.cat([inputs["input_ids"][:, : -question.shape[1]], question], 1)
    return {**inputs, "input_ids": ids}


def test_read_once_equals_one_go(case, model):
    inputs, question, kept, video = read(case, model, padding=3)
    other = question.roll(1, 1)
    for asked in (other, question):
        with fold(model, Keep(kept)):
            expected = model.generate(**with_question(inputs, asked), **greedy(case), **FULL)
        answer = video.generate(asked, **greedy(case), **FULL)
        assert torch.equal(answer.sequences[:, :5], asked)
        assert torch.equal(answer.sequences[:, 5:], expected.sequences[:, -STEPS:])
        for ours, theirs in zip(answer.logits, expected.logits, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert video.before == len(case.visual(model, inputs)[0][1])
    assert video.tokens == len(kept[0])


def test_a_video_of_many_frames(case, model):
    """Its last frames have higher M-RoPE positions than the text behind it."""
    inputs, question, kept, video = read(case, model, frames=16)
    with fold(model, Keep(kept)):
        expected = model.generate(**inputs, **greedy(case), **FULL)
    answer = video.generate(question, **greedy(case), **FULL)
    for ours, theirs in zip(answer.logits, expected.logits, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_several_questions_are_one_batch_and_do_not_see_each_other(case, model):
    _, question, _, video = read(case, model)
    ids = torch.cat([question, torch.nn.functional.pad(question[:, 2:], (2, 0))])
    mask = torch.tensor([[1] * 5, [0, 0, 1, 1, 1]])
    together = video.generate(ids, mask, **greedy(case), **FULL)
    alone = [video.generate(each, **greedy(case), **FULL) for each in (question, question[:, 2:])]
    for row, single in enumerate(alone):
        assert torch.equal(together.sequences[row, -STEPS:], single.sequences[0, -STEPS:])
        for ours, theirs in zip(together.logits, single.logits, strict=True):
            torch.testing.assert_close(ours[row : row + 1], theirs, rtol=0, atol=1e-4)


class Rounded(QuantizedLayer):
    """Keys and values to 1/4,096."""

    def _quantize(self, tensor, axis):
        return (tensor * 4096).round()

    def _dequantize(self, tensor):
        return tensor / 4096


def test_beams_samples_and_caches(case, model):
    inputs, question, kept, video = read(case, model)
    text = model.config.get_text_config(decoder=True)
    expected = {}
    with fold(model, Keep(kept)):
        for name, settings in {
            "greedy": {},
            "beams": {"num_beams": 3, "num_return_sequences": 2},
            "samples": {"do_sample": True, "top_k": 1, "num_return_sequences": 2},
            "penalty": {"repetition_penalty": 1.3},
            "length": {"max_new_tokens": None, "min_new_tokens": None, "max_length": inputs["input_ids"].shape[1] + 3},
        }.items():
            output = model.generate(**inputs, **greedy(case) | settings)
            expected[name] = output[:, inputs["input_ids"].shape[1] :]
            answer = video.generate(question, **greedy(case) | settings)
            assert torch.equal(answer[:, 5:], expected[name]), name
    for settings in (
        {"cache_implementation": "static"},
        {"past_key_values": StaticCache(text, max_cache_len=256)},
        {"past_key_values": DynamicCache(config=text)},
        {"past_key_values": Cache(layer_class_to_replicate=Rounded)},
        {"cache_implementation": "dynamic"},
    ):
        answer = video.generate(question, **greedy(case), **settings)
        assert torch.equal(answer[:, 5:], expected["greedy"]), settings


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_two_threads_ask_of_one_video(family):
    case, model = CASES[family], built(CASES[family])
    _, question, _, video = read(case, model)
    questions = [question.roll(number, 1) for number in range(2)]
    expected = [video.generate(each, **greedy(case)) for each in questions]
    answers = {}

    def ask(number):
        answers[number] = video.generate(questions[number], **greedy(case))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(torch.equal(answers[number], expected[number]) for number in range(2))

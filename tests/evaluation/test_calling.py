"""Prompts of a benchmark, as lmms-eval's own models are asked."""

import copy
import dataclasses

import pytest

from vidfold.evaluation.calling import Caller
from vidfold.evaluation.frames import load
from vidfold.evaluation.settings import Settings
from vidfold.models.loading.published_processor import CHAT_TEMPLATE

TRAINED = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<video>\nWhat is it?\nA. red<|im_end|>\n<|im_start|>assistant\n"
)
"""What lmms-eval's LLaVA models make of a question by their template "qwen_1_5", with <video> for their <image>."""


def caller(loaded, template, **settings):
    return Caller.of(loaded, Settings.of(method="none", template=template, **settings))


@pytest.fixture(scope="module")
def video(clips):
    return load(clips[0][0], 4, every_second=False)


def test_the_template_of_lmms_eval(llava_video):
    asking = caller(llava_video, "qwen_1_5")
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is it?\nA. red"}]}]
    assert llava_video.written(chat, asking.template) == TRAINED
    answered = [*chat, {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]
    assert llava_video.written(answered, asking.template, add_generation_prompt=False) == f"{TRAINED}A<|im_end|>\n"


def test_llava_template_needs_an_open_vocabulary(tiny, llava_video):
    assert caller(tiny, "auto").template is None  # a closed vocabulary
    knowing = dataclasses.replace(llava_video, processor=copy.deepcopy(llava_video.processor))
    knowing.processor.tokenizer.unk_token = None
    assert caller(knowing, "auto").template == CHAT_TEMPLATE
    assert caller(knowing, "own").template is None


def test_rows_are_padded_on_the_left(tiny, video):
    asking = caller(tiny, "auto")
    texts = ["what is the scene?", "how many big objects are there?"]
    inputs, lengths = asking.batch([video, video], texts)
    assert lengths == [0, 0]
    assert inputs["attention_mask"][:, -1].tolist() == [1, 1]
    assert inputs["attention_mask"][:, 0].tolist() == [0, 1]
    alone, _ = asking.batch([video], texts[:1])
    length = alone["input_ids"].shape[1]
    assert inputs["input_ids"][0, -length:].equal(alone["input_ids"][0])


def test_answers_come_after_the_prompt_and_end_the_turn(tiny, video):
    asking = caller(tiny, "auto")
    inputs, lengths = asking.batch([video, video], ["what is the scene?"] * 2, [" sea", "red and blue"])
    tokenizer = tiny.processor.tokenizer
    assert lengths == [2, 4]
    assert tokenizer.decode(inputs["input_ids"][0, -2:]).split() == ["sea", "<|im_end|>"]
    prompt, _ = asking.batch([video], ["what is the scene?"])
    assert inputs["input_ids"][1, :-4].equal(prompt["input_ids"][0])


def test_template_with_answers_elsewhere_raises(tiny, video):
    asking = Caller(tiny, None, "{{ messages | length }}<video>")
    with pytest.raises(ValueError, match="give template=qwen_1_5"):
        asking.batch([video], ["what is the scene?"], ["sea"])

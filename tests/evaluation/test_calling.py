"""Prompts of a benchmark, as lmms-eval's own models are asked."""

import copy
import dataclasses

import pytest

from vidfold.evaluation.calling import Prompter, every_second
from vidfold.evaluation.frames import load
from vidfold.models.llava_video import time_instruction
from vidfold.models.loading.published_processor import CHAT_TEMPLATE

TRAINED = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<video>\nWhat is it?\nA. red<|im_end|>\n<|im_start|>assistant\n"
)
"""What lmms-eval's LLaVA models make of a question by their template "qwen_1_5", with <video> for their <image>."""


@pytest.fixture(scope="module")
def video(clips):
    return load(clips[0][0], 4, every_second=False)


def test_the_template_of_lmms_eval(llava_video):
    prompter = Prompter.of(llava_video, "qwen_1_5")
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is it?\nA. red"}]}]
    assert llava_video.written(chat, prompter.template) == TRAINED
    answered = [*chat, {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]
    assert llava_video.written(answered, prompter.template, add_generation_prompt=False) == f"{TRAINED}A<|im_end|>\n"


def test_llava_template_needs_an_open_vocabulary(tiny, llava_video):
    assert Prompter.of(tiny, "auto").template is None  # a closed vocabulary
    knowing = dataclasses.replace(llava_video, processor=copy.deepcopy(llava_video.processor))
    knowing.processor.tokenizer.unk_token = None
    assert Prompter.of(knowing, "auto").template == CHAT_TEMPLATE
    assert Prompter.of(knowing, "own").template is None


def test_rows_are_padded_on_the_left(tiny, video):
    prompter = Prompter.of(tiny, "auto")
    texts = ["what is the scene?", "how many big objects are there?"]
    inputs, lengths = prompter.batch([video, video], texts)
    assert lengths == [0, 0]
    assert inputs["attention_mask"][:, -1].tolist() == [1, 1]
    assert inputs["attention_mask"][:, 0].tolist() == [0, 1]
    alone, _ = prompter.batch([video], texts[:1])
    length = alone["input_ids"].shape[1]
    assert inputs["input_ids"][0, -length:].equal(alone["input_ids"][0])


def test_answers_come_after_the_prompt_and_end_the_turn(tiny, video):
    prompter = Prompter.of(tiny, "auto")
    inputs, lengths = prompter.batch([video, video], ["what is the scene?"] * 2, [" sea", "red and blue"])
    tokenizer = tiny.processor.tokenizer
    assert lengths == [2, 4]
    assert tokenizer.decode(inputs["input_ids"][0, -2:]).split() == ["sea", "<|im_end|>"]
    prompt, _ = prompter.batch([video], ["what is the scene?"])
    assert inputs["input_ids"][1, :-4].equal(prompt["input_ids"][0])


def test_template_with_answers_elsewhere_raises(tiny, video):
    prompter = Prompter(tiny, "{{ messages | length }}<video>")
    with pytest.raises(ValueError, match="give template=qwen_1_5"):
        prompter.batch([video], ["what is the scene?"], ["sea"])


def test_times_are_printed_on_request(llava_video, video):
    told = Prompter.of(llava_video, "own", add_time_instruction=True)
    assert told._asked("what?", video) == f"{time_instruction(video.duration, video.timestamps.tolist())}\nwhat?"
    assert Prompter.of(llava_video, "own")._asked("what?", video) == "what?"


def test_one_frame_a_second_for_llava_video_alone(tiny, llava_video):
    assert every_second(llava_video, None)
    assert not every_second(llava_video, True)
    assert not every_second(tiny, None)
    assert every_second(tiny, False)

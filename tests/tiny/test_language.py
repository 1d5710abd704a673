import numpy as np
import pytest
from transformers import AutoProcessor

from lab.processing import processor, tokenizer
from lab.questions import ANSWERS, every_question
from vidfold.tiny.language import END, IMAGE, START, UNKNOWN, VIDEO, VOCABULARY, encode
from vidfold.tiny.scenes import FRAMES, render, seeds
from vidfold.tiny.textures import SIZE
from vidfold.tiny.worlds import WORLDS

CHAT = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is the first scene?"}]}]


def texts():
    members = (seed for world in WORLDS for seed in seeds("train", 20, world=world))
    return {question.text for seed in members for question in every_question(render(seed, 16))}


def test_vocabulary_covers_all_questions_and_answers():
    words = tokenizer()
    for text in texts():
        assert VOCABULARY[UNKNOWN] not in words(text)["input_ids"]
    for answers in ANSWERS.values():
        assert all(answer in VOCABULARY for answer in answers)


def test_encode_equals_the_tokenizer():
    words = tokenizer()
    for text in texts():
        assert encode(text) == words(text)["input_ids"]


def test_encode_rejects_unknown_words():
    with pytest.raises(ValueError, match="outside the vocabulary: giraffe"):
        encode("where is the giraffe?")


@pytest.mark.parametrize(
    "text",
    [
        "What color is the tiny dot on the sea?",
        "what  colour is the tiny dot on the  sea ?",
        "WHAT COLOR IS THE TINY DOT ON THE SEA?\n",
    ],
)
def test_case_spacing_and_spelling_do_not_matter(text):
    assert tokenizer()(text)["input_ids"] == encode("what color is the tiny dot on the sea?")


def test_decode_inverts_encode():
    words = tokenizer()
    assert words.decode(words("How many big objects are there?")["input_ids"]) == "how many big objects are there ?"
    assert words.decode([VOCABULARY["ring"], VOCABULARY[END]], skip_special_tokens=True) == "ring"


def test_special_tokens_are_one_token_each():
    words = tokenizer()
    for special in (START, END, IMAGE, VIDEO):
        assert words(special)["input_ids"] == [VOCABULARY[special]]


def test_chat_gives_the_prompt_of_training():
    reader = processor(patch=8)
    prompt = reader.apply_chat_template(CHAT, add_generation_prompt=True)
    inputs = reader(text=[prompt], videos=[render(0).frames], return_tensors="pt")
    tokens = reader.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    visual = FRAMES * 36 + 1
    assert tokens == [
        *(START, "user"),
        *[VIDEO] * visual,
        *("what", "is", "the", "first", "scene", "?"),
        *(END, START, "assistant"),
    ]


def test_chat_with_answers_and_system_message():
    chat = [{"role": "system", "content": "video"}, *CHAT, {"role": "assistant", "content": "sea"}]
    text = tokenizer().apply_chat_template(chat, tokenize=False)
    assert text == (
        "<|im_start|>system video<|im_end|><|im_start|>user <video>What is the first scene?<|im_end|>"
        "<|im_start|>assistant sea<|im_end|>"
    )


def test_processor_only_rescales_pixels():
    frames = render(3).frames
    inputs = processor(patch=8)(text=[VIDEO], videos=[frames], return_tensors="pt")
    expected = frames.transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(inputs["pixel_values_videos"][0].numpy(), expected, atol=1e-6)


def test_larger_frames_are_resized():
    frames = np.zeros((FRAMES, 2 * SIZE, 3 * SIZE, 3), np.uint8)
    inputs = processor(patch=8)(text=[VIDEO], videos=[frames], return_tensors="pt")
    assert inputs["pixel_values_videos"].shape == (1, FRAMES, 3, SIZE, SIZE)


def test_saved_processor_is_unchanged(tmp_path):
    processor(patch=8).save_pretrained(tmp_path)
    reader = AutoProcessor.from_pretrained(tmp_path)
    prompt = reader.apply_chat_template(CHAT, add_generation_prompt=True)
    assert prompt == processor(patch=8).apply_chat_template(CHAT, add_generation_prompt=True)
    assert reader.tokenizer.padding_side == "left"
    assert reader.tokenizer("what COLOUR?")["input_ids"] == encode("what color?")

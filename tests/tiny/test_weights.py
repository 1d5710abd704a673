import pytest
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from vidfold.tiny import path, questions, render, seeds
from vidfold.tiny.export import ask, generation_agreement


@pytest.fixture(scope="module")
def model():
    return LlavaOnevisionForConditionalGeneration.from_pretrained(path(), dtype="float32").eval()


@pytest.fixture(scope="module")
def reader():
    return AutoProcessor.from_pretrained(path())


def test_the_folder_is_small():
    assert sum(file.stat().st_size for file in path().iterdir()) < 16 << 20


def test_loading_loses_nothing():
    _, report = LlavaOnevisionForConditionalGeneration.from_pretrained(path(), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_it_answers_about_clips_it_never_saw(model, reader):
    right = {}
    for seed in seeds("test", 8):
        clip = render(seed)
        asked = questions(clip)
        words = reader.batch_decode(ask(model, reader, clip.frames, [q.text for q in asked]), skip_special_tokens=True)
        for question, word in zip(asked, words, strict=True):
            right.setdefault(question.kind, []).append(word == question.answer)
    for kind, results in right.items():
        assert sum(results) >= 0.75 * len(results), kind


def test_it_answers_as_a_user_would_write(model, reader):
    clip = render(seeds("test", 1)[0])
    told = {question.text: question.answer for question in questions(clip)}
    new = ask(model, reader, clip.frames, ["What is the scene?", "What colour is the tiny dot?"])
    words = reader.batch_decode(new, skip_special_tokens=True)
    assert words == [told["what is the scene?"], told["what color is the tiny dot?"]]


def test_it_ends_its_turn_after_the_answer(model, reader):
    clip = render(seeds("test", 1)[0])
    new = ask(model, reader, clip.frames, [question.text for question in questions(clip)])
    assert (new[:, 1] == model.generation_config.eos_token_id).all()


def test_generate_answers_as_packed_scoring_does():
    assert generation_agreement(path(), clips=3) == 1.0

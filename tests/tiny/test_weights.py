import json

import pytest
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from lab.architecture import SHIPPED
from lab.asking import ask
from lab.export import generation_agreement
from lab.scoring import accuracy
from vidfold.tiny import path, questions, render, seeds
from vidfold.tiny.language import VOCABULARY
from vidfold.tiny.questions import KINDS
from vidfold.tiny.worlds import WORLDS

TWINS = ("varied", "whole")
LEAST = {"where": 0.8, "order": 0.65, "last": 0.8}
"""Least accuracy at 8 frames of kinds that are hard for the model."""


@pytest.fixture(scope="module", params=TWINS)
def folder(request):
    return path(request.param)


@pytest.fixture(scope="module")
def model(folder):
    return LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()


@pytest.fixture(scope="module")
def reader(folder):
    return AutoProcessor.from_pretrained(folder)


def words(model, reader, clip, texts):
    return reader.batch_decode(ask(model, reader, clip.frames, texts), skip_special_tokens=True)


def test_there_are_two_folders():
    assert path() == path("varied")
    assert len({path(read) for read in TWINS}) == 2
    with pytest.raises(ValueError, match="read must be one of varied, whole; got 'half'"):
        path("half")


def test_the_folder_is_small(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) < 16 << 20


def test_vocabulary_equals_the_code(folder):
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"] == VOCABULARY


def test_loading_has_no_missing_or_unexpected_keys(folder):
    _, report = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


@pytest.mark.parametrize("world", WORLDS)
def test_accuracy_on_search_clips(model, world):
    shares = accuracy(model, SHIPPED.grid, clips=24, world=world)
    assert {kind: shares[kind] for kind in KINDS if shares[kind] < LEAST.get(kind, 0.9)} == {}


def test_case_and_spacing_of_questions_do_not_matter(model, reader):
    clip = render(seeds("search", 1)[0])
    told = {question.text: question.answer for question in questions(clip)}
    texts = ["What is the first scene?", "  HOW many big objects are there ?"]
    assert words(model, reader, clip, texts) == [
        told["what is the first scene?"],
        told["how many big objects are there?"],
    ]


def test_answers_are_one_word(model, reader):
    clip = render(seeds("search", 1)[0])
    new = ask(model, reader, clip.frames, [question.text for question in questions(clip)])
    assert (new[:, 1] == model.generation_config.eos_token_id).all()


def test_generate_agrees_with_packed_scoring(folder):
    assert generation_agreement(folder, clips=1) == 1.0

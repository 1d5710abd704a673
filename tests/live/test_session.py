"""One visitor's video; `make test-browser` tries the page itself."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cli.running import refused
from tests.show.pages import record
from vidfold import AOT, Random
from vidfold.app.asking import ask
from vidfold.app.loading import VideoModel, load
from vidfold.app.reading import timed
from vidfold.live.session import READINGS, Session
from vidfold.reducers import VisionZip
from vidfold.tiny import questions, render, seeds

CLIPS = [render(seed) for seed in seeds("search", 2)]


@pytest.fixture(scope="module")
def loaded() -> VideoModel:
    return load(device="cpu")


def session(loaded, number: int = 0) -> Session:
    return Session(loaded, timed(CLIPS[number].frames, 2.0), f"clip {number}")


def test_answers_are_those_of_one_call(loaded):
    opened = session(loaded)
    for question in questions(CLIPS[0])[:2]:
        for method in (AOT(0.25), VisionZip(0.1)):
            unfolded, folded = opened.ask(question.text, method)
            assert unfolded.text == ask(loaded, opened.frames, question.text).text
            assert folded.text == ask(loaded, opened.frames, question.text, method).text
            assert (unfolded.method, unfolded.tokens, folded.before) == ("unfolded", 288, 288)


def test_a_second_question_reads_nothing_again(loaded):
    opened = session(loaded)
    first, second = (opened.ask(question.text, AOT(0.1)) for question in questions(CLIPS[0])[:2])
    assert all(reply.milliseconds["reading"] > 0 for reply in first)
    assert all(reply.milliseconds["reading"] == 0 for reply in second)


def test_what_is_kept_has_a_limit(loaded):
    opened = session(loaded)
    for share in (0.05, 0.1, 0.2, 0.25, 0.3):
        opened.ask("what is the first scene?", Random(share))
    assert len(opened._readings) == READINGS + 1
    assert opened.ask("what is the first scene?", Random(0.3))[0].milliseconds["reading"] == 0


def test_the_page_has_the_answers_and_other_budgets(loaded):
    opened, question = session(loaded), questions(CLIPS[0])[0]
    replies = opened.ask(question.text, AOT(0.1))
    data = record(opened.page(question.text, *replies, AOT(0.1)).html())
    assert [view["asked"] for view in data["views"]] == [0.1, 0.05, 0.25, 0.5]
    assert [view["answer"] for view in data["views"]] == [replies[1].text, None, None, None]
    assert data["unfolded"]["answer"] == replies[0].text


def test_two_sessions_at_once(loaded):
    opened = [session(loaded, number) for number in (0, 1)]
    question = "what is the first scene?"
    alone = [[reply.text for reply in session(loaded, number).ask(question, AOT(0.25))] for number in (0, 1)]
    with ThreadPoolExecutor() as pool:
        together = [pool.submit(each.ask, question, AOT(0.25)) for each in opened]
        assert [[reply.text for reply in each.result()] for each in together] == alone


def test_bad_questions(loaded):
    with pytest.raises(ValueError, match="question must not be empty"):
        session(loaded).ask("  ", AOT(0.1))


def test_the_command_says_what_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert refused(capsys, "app") == "gradio is not installed: pip install 'gradio<7,>=6'"

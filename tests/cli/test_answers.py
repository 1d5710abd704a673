"""Answers as text."""

import dataclasses

from vidfold.app.asking import Answer
from vidfold.cli.answers import side_by_side, typical


def answer(text: str = "yes", tokens: int = 29, generate: float = 40.0) -> Answer:
    return Answer(text, 288, tokens, tokens + 14, 264_192, {"encode": 100.0, "generate": generate}, tokens / 288)


def test_answers_are_shown_side_by_side():
    lines = side_by_side({"unfolded": answer("no", 288), "folded": answer()}, 5.0).splitlines()
    assert [line.split()[0] for line in lines] == [
        "unfolded", "answer", "tokens", "cache", "decode", "encode", "generate", "together",
    ]  # fmt: skip
    assert lines[-1].split() == ["together", "145", "ms", "145", "ms"]
    assert "288 -> 29 (10.1 %)" in lines[2]


def test_the_typical_answer_has_median_times():
    assert typical([answer(generate=30), answer(generate=90), answer(generate=50)]).milliseconds["generate"] == 50


def test_tokens_dropped_between_layers_are_reported():
    inside = dataclasses.replace(answer("red", 288, 10.0), layer_retention=0.5)
    assert "288, 50.0 % inside on average" in side_by_side({"folded": inside}, 1.0)

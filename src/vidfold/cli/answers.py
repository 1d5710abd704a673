"""Answers as text: what they cost, side by side."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vidfold.app.tables import amount, duration, table

if TYPE_CHECKING:
    from vidfold.app.asking import Answer

STAGES = ("preprocess", "encode", "fold", "splice", "generate")


def side_by_side(answers: "Mapping[str, Answer]", decoding: float, *, texts: bool = True) -> str:
    """Answers side by side, one column each."""
    every = list(answers.values())
    rows = [["", *answers]] if len(answers) > 1 else []
    if texts:
        rows.append(["answer", *(answer.text for answer in every)])
        rows.append(["tokens", *(_tokens(answer) for answer in every)])
    rows.append(
        ["cache", *(f"{answer.cache_positions} positions, {amount(answer.cache_bytes, 'B')}" for answer in every)]
    )
    rows.append(["decode", *(duration(decoding) for _ in every)])
    for stage in STAGES:
        times = [answer.milliseconds.get(stage) for answer in every]
        if any(time is not None for time in times):
            rows.append([stage, *("-" if time is None else duration(time) for time in times)])
    rows.append(["together", *(duration(decoding + answer.total) for answer in every)])
    return table(rows)


def _tokens(answer: "Answer") -> str:
    if answer.layer_retention == 1:
        return str(answer.tokens_before)
    if answer.layer_retention < answer.retention:
        return f"{answer.tokens_before}, {100 * answer.layer_retention:.1f} % inside on average"
    return f"{answer.tokens_before} -> {answer.tokens_after} ({100 * answer.retention:.1f} %)"


def doubts(model: str | None, asked: Sequence[str]) -> list[str]:
    """What to tell of questions that a model never learnt, where that is known: of the embedded one, the default."""
    from vidfold.tiny import EMBEDDED, learnt

    unknown = [each for each in asked if not learnt(each)] if (model or "tiny") in EMBEDDED else []
    return [
        f"the embedded model never learnt to answer {each!r}, and says any word ('vidfold scene' has its questions)"
        for each in unknown
    ]


def typical(answers: "Sequence[Answer]") -> "Answer":
    """The answer with the median cache size, with the median time of every stage."""
    stages = {
        stage: statistics.median(answer.milliseconds[stage] for answer in answers) for stage in answers[0].milliseconds
    }
    return dataclasses.replace(
        sorted(answers, key=lambda each: each.cache_positions)[len(answers) // 2], milliseconds=stages
    )

"""Samples of a server as a table."""

from collections.abc import Sequence

import numpy as np

from vidfold.app import tables
from vidfold.bench.serving.clients import WAYS, Sample

HEAD = (
    "clients",
    "",
    "prompt",
    "first token p50",
    "p95",
    "videos a second",
    "tokens a second",
    "follow-up p50",
    "of the prompt cached",
    "errors",
)


def table(samples: Sequence[Sample]) -> str:
    """One row for each number of clients and way; times are of all turns together."""
    rows: list[Sequence[str]] = [HEAD]
    for clients in dict.fromkeys(sample.clients for sample in samples):
        rows += [_row([each for each in samples if (each.clients, each.way) == (clients, way)]) for way in WAYS]
    return tables.table(rows)


def _row(samples: Sequence[Sample]) -> tuple[str, ...]:
    asked = [answer for sample in samples for answer in sample.answers]
    good = [answer for answer in asked if not answer.error]
    again = [answer for sample in samples for answer in sample.follow_ups]
    follow = [answer for answer in again if not answer.error]
    errors = len(asked) + len(again) - len(good) - len(follow)
    start = (str(samples[0].clients), samples[0].way)
    if not good or not follow:
        return (*start, *["-"] * (len(HEAD) - 3), str(errors))
    seconds = sum(sample.seconds for sample in samples)
    median, high = np.percentile([answer.first for answer in good], [50, 95])
    cached = sum(answer.cached for answer in follow) / sum(answer.prompt for answer in follow)
    return (
        *start,
        f"{np.median([answer.prompt for answer in good]):.0f}",
        tables.duration(1000 * median),
        tables.duration(1000 * high),
        tables.digits(len(good) / seconds),
        tables.digits(sum(answer.written for answer in good) / seconds),
        tables.duration(1000 * float(np.median([answer.first for answer in follow]))),
        tables.percent(cached),
        str(errors),
    )

"""What is asked of a server: clients that each ask about one video after another, and then ask again."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vidfold.bench.serving.server import NAME, Server

QUESTION, FOLLOW_UP = "what is the first scene?", "how many big objects are there?"
TIMEOUT = 600.0
"""Seconds an answer may take."""
UNFOLDED: Mapping[str, Any] = {"retention": 1.0}
WAYS: Mapping[str, Mapping[str, Any]] = {"unfolded": UNFOLDED, "folded": {}}
"""Ways to ask -> the budget of their requests; without one, that of the server."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        first: seconds to its first token.
        seconds: to its last.
        prompt: tokens of the prompt.
        cached: of them found in the prefix cache.
        written: tokens of the answer.
        error: what went wrong; empty if nothing did.
    """

    first: float
    seconds: float
    prompt: int = 0
    cached: int = 0
    written: int = 0
    error: str = ""


@dataclass(frozen=True)
class Sample:
    """What one way gave in one turn.

    Attributes:
        way: one of `WAYS`.
        clients: at once.
        seconds: for all first questions.
        answers: to the first questions about all videos.
        follow_ups: to a second question about each.
    """

    way: str
    clients: int
    seconds: float
    answers: tuple[Answer, ...]
    follow_ups: tuple[Answer, ...]


def measure(
    server: Server,
    clients: Sequence[int],
    videos: Iterator[str],
    *,
    requests: int,
    turns: int,
    new_tokens: int,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Sample]:
    """Ask in both ways in turns.

    Args:
        server: that folds.
        clients: numbers of clients at once.
        videos: addresses of videos, such as data in base64; never the same one twice, so that no cache has them. Both
            ways of a turn take the same ones, since a budget is part of every cache key.
        requests: videos that each client asks about in a turn.
        turns: of both ways.
        new_tokens: of every answer.
        tell: takes a line on progress.
    """
    for budget in WAYS.values():
        ask(server, next(videos), QUESTION, budget, new_tokens)  # the first call of a shape takes longer
    samples = []
    for count in clients:
        for turn in range(turns):
            shown = [next(videos) for _ in range(count * requests)]
            ways = list(WAYS.items())
            for way, budget in ways if turn % 2 == 0 else ways[::-1]:
                tell(f"{count} clients, turn {turn + 1} of {turns}, {way}")
                samples.append(_turn(server, way, budget, count, shown, new_tokens))
    return samples


def _turn(
    server: Server, way: str, budget: Mapping[str, Any], clients: int, videos: Sequence[str], new_tokens: int
) -> Sample:
    with ThreadPoolExecutor(clients) as pool:
        start = time.perf_counter()
        answers = tuple(pool.map(lambda each: ask(server, each, QUESTION, budget, new_tokens), videos))
        seconds = time.perf_counter() - start
        follow_ups = tuple(pool.map(lambda each: ask(server, each, FOLLOW_UP, budget, new_tokens), videos))
    return Sample(way, clients, seconds, answers, follow_ups)


def ask(server: Server, video: str, question: str, budget: Mapping[str, Any], new_tokens: int) -> Answer:
    """One question about one video; what goes wrong is in the answer."""
    content = [{"type": "video_url", "video_url": {"url": video}}, {"type": "text", "text": question}]
    body: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": content}], "temperature": 0}
    body |= {"max_tokens": new_tokens, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    body |= {"mm_processor_kwargs": dict(budget)} if budget else {}
    start = time.perf_counter()
    first = 0.0
    usage: dict[str, Any] = {}
    try:
        for part in server.stream("/v1/chat/completions", body, TIMEOUT):
            if "error" in part:
                raise ValueError(str(part["error"]))
            first = first or time.perf_counter() - start
            usage = part.get("usage") or usage
    except (OSError, ValueError) as error:
        return Answer(0.0, time.perf_counter() - start, error=f"{type(error).__name__}: {error}")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    seconds = time.perf_counter() - start
    return Answer(first, seconds, usage.get("prompt_tokens", 0), cached, usage.get("completion_tokens", 0))

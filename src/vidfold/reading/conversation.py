"""A conversation: questions that see those before them."""

import threading
from collections.abc import Callable
from typing import Any

import torch

from vidfold.models.calls import setting
from vidfold.reading.prefix import Prefix
from vidfold.reading.wording import Turn, Wording

ANSWER = 64
"""Tokens of an answer at most, where nothing else is said."""


def answering(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of ``generate`` for an answer: greedy and of at most `ANSWER` tokens where they say nothing else."""
    long = {} if settings.keys() & {"max_length", "generation_config"} else {"max_new_tokens": ANSWER}
    return {"do_sample": False} | long | settings


class Conversation:
    """Questions and answers about one video, in turn.

    Only the new question and its answer are computed.

    Attributes:
        turns: questions and answers so far.
        prefix: what the model has read so far.
        wording: how questions are worded.
    """

    def __init__(self, prefix: Prefix, wording: Wording, first: Callable[[str], str]) -> None:
        """``first`` words the first question."""
        self.turns: tuple[Turn, ...] = ()
        self.prefix = prefix
        self.wording, self._first = wording, first
        self._busy = threading.Lock()

    def ask(self, question: str, **settings: Any) -> str:
        """Answer the next question.

        Args:
            question: in words.
            settings: of ``generate``; by default the answer is greedy and has at most `ANSWER` tokens.

        Raises:
            ValueError: an empty question, several answers asked for, another thread that asks in this conversation, or
                what `Prefix.generate` raises.
        """
        if settings.get("num_return_sequences", 1) != 1:
            raise ValueError("num_return_sequences must be 1: a conversation goes on from one answer")
        if not self._busy.acquire(blocking=False):
            raise ValueError("another thread is asking in this conversation: start one for each with chat()")
        try:
            return self._ask(question, settings)
        finally:
            self._busy.release()

    def _ask(self, question: str, settings: dict[str, Any]) -> str:
        asked = question if self.turns else self._first(question)
        ids = self.wording.next(self.turns, asked).to(self.prefix.ids.device)
        given = answering(settings) | {"return_dict_in_generate": True}
        output = self.prefix.generate(ids, **given)
        new = output.sequences
        text = self.wording.answered(new[0, ids.shape[1] :])
        ends = setting(given, self.prefix.model.generation_config, "eos_token_id")
        if ends is not None and int(new[0, -1]) in torch.as_tensor(ends).flatten().tolist():
            new = new[:, :-1]  # it has not been read, and the template ends the turn itself
        self.prefix = self.prefix.after(new, output.past_key_values)
        self.turns = (*self.turns, (asked, text))
        return text

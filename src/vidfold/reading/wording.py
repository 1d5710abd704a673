"""Prompts in parts: what a chat template writes before a question, and what it writes from there on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Turn = tuple[str, str]
"""A question and its answer."""

_MARK = "question"


@dataclass(frozen=True, eq=False, repr=False)
class Wording:
    """How a processor's chat template words a conversation about one video.

    The prompt is cut behind the last special token before the question, where every tokenizer cuts too. So the parts,
    each by itself, have the tokens of the whole.

    Attributes:
        processor: of the model, with a tokenizer and a chat template.
    """

    processor: Any

    @property
    def opening(self) -> str:
        """The prompt up to the question, for the processor together with the video."""
        text = self._written([], _MARK)
        head, found, _ = text.rpartition(_MARK)
        if not found:
            raise ValueError(f"the chat template writes no question: {text!r}")
        # The last mark: a role or a system prompt may have the same word, the end of a turn hardly.
        special = [token for token in self.processor.tokenizer.get_added_vocab() if token in head]
        ends = [match.end() for token in special for match in re.finditer(re.escape(token), head)]
        if not ends:
            raise ValueError(f"the chat template writes no special token before the question: {head!r}")
        return head[: max(ends)]

    def asked(self, question: str) -> Tensor:
        """Tokens of a first question, behind `opening`, up to the answer: (1, Q) int64."""
        return self._tokens(self._written([], question), self.opening)

    def next(self, turns: Sequence[Turn], question: str) -> Tensor:
        """Tokens behind the last answer of a conversation, up to the answer to a further question: (1, Q) int64.

        Raises:
            ValueError: a template that writes earlier turns otherwise than it did before.
        """
        if not turns:
            return self.asked(question)
        *before, (last, answer) = turns
        text = self._written(turns, question)
        earlier = self._written(before, last)
        rest = text[len(earlier) :].lstrip()
        if not text.startswith(earlier) or not rest.startswith(answer):
            raise ValueError(
                "the chat template of this processor changes what it wrote of earlier turns, so a conversation cannot "
                "go on from what was read: ask each question by itself"
            )
        return self._tokens(text, text[: len(text) - len(rest) + len(answer)], exact=False)

    def answered(self, ids: Tensor) -> str:
        """The text of an answer (new,)."""
        text: str = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()

    def batch(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens of several first questions, padded on the left, and their mask: (B, Q) int64 each."""
        rows = [self.asked(each)[0] for each in questions]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        ones = [torch.ones_like(row) for row in rows]
        return ids, torch.nn.utils.rnn.pad_sequence(ones, batch_first=True, padding_side="left")

    def _tokens(self, text: str, before: str, *, exact: bool = True) -> Tensor:
        """Tokens of a prompt behind its part ``before``; with ``exact`` those that the whole prompt has there."""
        if not text.startswith(before):
            raise ValueError(f"the chat template writes {text!r} for this question, which does not begin {before!r}")
        tokenizer = self.processor.tokenizer
        ids: list[int] = tokenizer(text[len(before) :], add_special_tokens=False)["input_ids"]
        if exact and tokenizer(text)["input_ids"][-len(ids) :] != ids:
            raise ValueError("the tokenizer joins the question with what stands before it: it cannot be cut there")
        return torch.tensor([ids])

    def _written(self, turns: Sequence[Turn], question: str) -> str:
        """A conversation as the template writes it, up to the next answer."""
        if not question.strip():
            raise ValueError(f"question must not be empty, got {question!r}")
        chat: list[dict[str, Any]] = []
        for number, text in enumerate([*(asked for asked, _ in turns), question]):
            content: list[dict[str, str]] = [{"type": "text", "text": text}]
            chat.append({"role": "user", "content": [{"type": "video"}, *content] if number == 0 else content})
            if number < len(turns):
                chat.append({"role": "assistant", "content": [{"type": "text", "text": turns[number][1]}]})
        try:
            written: str = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template is a program, and comes with the checkpoint
            raise ValueError(f"the chat template of the processor fails: {type(error).__name__}: {error}") from error
        return written

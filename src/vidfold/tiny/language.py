"""The tiny model's language: a closed vocabulary of whole words."""

from vidfold.tiny.questions import ENDS, NUMBERS, PLACES, TEMPLATES, WAYS
from vidfold.tiny.worlds import COLORS, SCENES, SHAPES

SPECIAL = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
PAD, UNKNOWN, START, END, IMAGE, VIDEO = SPECIAL


def _question_words() -> list[str]:
    texts = (template.replace("?", " ?") for template in TEMPLATES.values())
    return sorted({word for text in texts for word in text.split() if not word.startswith("{")})


_ANSWER_WORDS = (*COLORS, *SHAPES, *SCENES, *NUMBERS, *ENDS, *PLACES, *WAYS)
WORDS = tuple(dict.fromkeys(("system", "user", "assistant", *_question_words(), *_ANSWER_WORDS)))
VOCABULARY = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}

PREFIX = (VOCABULARY[START], VOCABULARY["user"])
TURN = (VOCABULARY[END], VOCABULARY[START], VOCABULARY["assistant"])
"""Words before the visual tokens, and between a question and its answer."""


def encode(text: str) -> list[int]:
    """Token ids of a question from ``TEMPLATES``, the same as the tokenizer's; ``ValueError`` for unknown words."""
    words = text.replace("?", " ?").split()
    if unknown := [word for word in words if word not in VOCABULARY]:
        raise ValueError(f"words outside the vocabulary: {', '.join(unknown)}; the vocabulary is {', '.join(WORDS)}")
    return [VOCABULARY[word] for word in words]

"""Questions about a clip of the little world, with the true answers from its facts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vidfold.tiny.scenes import COLORS, SCENES, SHAPES, Clip

TEMPLATES = {
    "scene": "what is the scene?",
    "tiny": "what color is the tiny dot?",
    "shape": "what shape is the {color} object?",
    "last": "which big color appears last?",
    "leaves": "which big color leaves first?",
    "count": "how many big objects are there?",
}
"""The wording of every kind of question; ``shape`` names the object by its colour."""

KINDS = tuple(TEMPLATES)
GROUPS = {
    "scene": "gist",
    "tiny": "detail",
    "shape": "detail",
    "last": "time",
    "leaves": "time",
    "count": "counting",
}
NUMBERS = ("zero", "one", "two", "three", "four", "five")
ANSWERS = {"scene": SCENES, "tiny": COLORS, "shape": SHAPES, "last": COLORS, "leaves": COLORS, "count": NUMBERS[2:]}
"""The answers that occur for every kind."""


@dataclass(frozen=True)
class Question:
    """One question with its true answer, a single word."""

    kind: str
    text: str
    answer: str


def questions(clip: Clip) -> tuple[Question, ...]:
    """All questions a clip answers: one of each kind, and one ``shape`` for every big object."""
    latecomer = max(clip.objects, key=lambda thing: thing.first)
    leaver = min(clip.objects, key=lambda thing: thing.last)
    return (
        Question("scene", TEMPLATES["scene"], clip.scene),
        Question("tiny", TEMPLATES["tiny"], clip.dot.color),
        *(Question("shape", _shape_text(thing.color), thing.shape) for thing in clip.objects),
        Question("last", TEMPLATES["last"], latecomer.color),
        Question("leaves", TEMPLATES["leaves"], leaver.color),
        Question("count", TEMPLATES["count"], NUMBERS[len(clip.objects)]),
    )


@cache
def _shape_text(color: str) -> str:
    return TEMPLATES["shape"].format(color=color)

"""The questions of training: those of the package, and where an object moves."""

from vidfold.tiny.casting import Appearance
from vidfold.tiny.questions import NUMBERS, PLACES, TEMPLATES, WAYS, Question, questions
from vidfold.tiny.scenes import Clip
from vidfold.tiny.worlds import COLORS, SCENES, SHAPES

ANSWERS = {
    "scene": SCENES,
    "next": SCENES,
    "tiny": COLORS,
    "shape": SHAPES,
    "behind": SCENES,
    "where": PLACES,
    "moves": WAYS,
    "order": COLORS,
    "last": COLORS,
    "count": NUMBERS[2:],
}
"""Possible answers of every kind."""

_MOVED, _STOOD = 16, 3  # at least this many pixels on screen to count as moving, at most this many as still
_SEEN = 3  # least frames that show an object


def every_question(clip: Clip) -> tuple[Question, ...]:
    """All questions with one clear answer, in the order of ``TEMPLATES``."""
    moves = [
        Question("moves", TEMPLATES["moves"].format(color=thing.color), way)
        for thing in clip.objects
        if len(thing.appearances) == 1 and (way := _way(thing.appearances[0])) is not None
    ]
    kinds = tuple(TEMPLATES)
    return tuple(sorted([*questions(clip), *moves], key=lambda question: kinds.index(question.kind)))


def _way(appearance: Appearance) -> str | None:
    """Direction of motion on screen, or "nowhere"; None if it is unclear."""
    x, y = (appearance.track[-1] - appearance.track[0]).tolist()
    if len(appearance.track) < _SEEN:
        return None
    if max(abs(x), abs(y)) <= _STOOD:
        return "nowhere"
    if max(abs(x), abs(y)) < _MOVED or max(abs(x), abs(y)) < 2.5 * min(abs(x), abs(y)):
        return None
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "down" if y > 0 else "up"

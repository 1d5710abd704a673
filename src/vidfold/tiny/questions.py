"""Questions about a clip, with the true answers."""

import itertools
from dataclasses import dataclass

import numpy as np

from vidfold.tiny.casting import Appearance, Object
from vidfold.tiny.scenes import COLORS, SCENES, SHAPES, SIZE, Clip

TEMPLATES = {
    "scene": "what is the {end} scene?",
    "next": "what scene follows the {scene}?",
    "tiny": "what color is the tiny dot on the {scene}?",
    "shape": "what shape is the {color} object?",
    "behind": "what scene is behind the {color} object?",
    "where": "where is the {color} object?",
    "moves": "where does the {color} object move?",
    "order": "what comes first {color} or {other}?",
    "last": "which big color appears last?",
    "count": "how many big objects are there?",
}
"""Wording of every kind of question."""

UNLEARNED = ("moves",)
"""Kinds that only training asks, since the shipped model does not learn them."""
KINDS = tuple(kind for kind in TEMPLATES if kind not in UNLEARNED)
GROUPS = {
    "scene": "gist",
    "next": "time",
    "tiny": "detail",
    "shape": "detail",
    "behind": "detail",
    "where": "place",
    "order": "time",
    "last": "time",
    "count": "counting",
}
NUMBERS = ("zero", "one", "two", "three", "four", "five")
PLACES = ("northwest", "northeast", "southwest", "southeast")
WAYS = ("left", "right", "up", "down", "nowhere")
ENDS = ("first", "last")
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

_CLEAR_OF_MIDDLE = 4  # least pixels between the centre of an object and the middle of the frame, for "where"
_MOVED, _STOOD = 16, 3  # at least this many pixels on screen to count as moving, at most this many as still
_SEEN = 3  # least frames that show an object, for "moves"
_LATER = 2  # least frames between two first appearances, for "order" and "last"


@dataclass(frozen=True)
class Question:
    """One question with its true answer, a single word."""

    kind: str
    text: str
    answer: str


def questions(clip: Clip, *, unlearned: bool = False) -> tuple[Question, ...]:
    """All questions with one clear answer, in the order of ``TEMPLATES``; every clip has at least scene and count.

    ``unlearned`` adds the kinds in ``UNLEARNED``.
    """
    asked = (_scenes(clip), _dots(clip), _objects(clip), _order(clip))
    found = [question for part in asked for question in part if unlearned or question.kind in KINDS]
    found.append(Question("count", TEMPLATES["count"], NUMBERS[len(clip.objects)]))
    kinds = tuple(TEMPLATES)
    return tuple(sorted(found, key=lambda question: kinds.index(question.kind)))


def _put(kind: str, answer: str, **words: str) -> Question:
    return Question(kind, TEMPLATES[kind].format(**words), answer)


def _scenes(clip: Clip) -> list[Question]:
    scenes = [shot.scene for shot in clip.shots]
    found = [_put("scene", scenes[0], end="first"), _put("scene", scenes[-1], end="last")]
    for before, after in itertools.pairwise(scenes):
        if scenes.count(before) == 1:
            found.append(_put("next", after, scene=before))
    return found


def _dots(clip: Clip) -> list[Question]:
    """Questions about dots that are the only ones in their scene."""
    places = [clip.scene_at(dot.first) for dot in clip.dots]
    return [
        _put("tiny", dot.color, scene=scene)
        for dot, scene in zip(clip.dots, places, strict=True)
        if places.count(scene) == 1
    ]


def _objects(clip: Clip) -> list[Question]:
    """Shape of every object; scene, place and motion if they are clear."""
    found = []
    for thing in clip.objects:
        color = thing.color
        found.append(_put("shape", thing.shape, color=color))
        scenes = {clip.scene_at(appearance.first) for appearance in thing.appearances}
        if len(scenes) == 1:
            found.append(_put("behind", scenes.pop(), color=color))
        if (place := _place(thing)) is not None:
            found.append(_put("where", place, color=color))
        if len(thing.appearances) == 1 and (way := _way(thing.appearances[0])) is not None:
            found.append(_put("moves", way, color=color))
    return found


def _place(thing: Object) -> str | None:
    """The quarter of the frame that the object never leaves; None if there is none."""
    centers = np.concatenate([appearance.track for appearance in thing.appearances]) + (thing.size - SIZE) / 2
    if abs(centers).min() < _CLEAR_OF_MIDDLE or (np.sign(centers) != np.sign(centers[0])).any():
        return None
    x, y = centers[0] > 0
    return PLACES[2 * int(y) + int(x)]


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


def _order(clip: Clip) -> list[Question]:
    """Which of two objects that appear one after the other comes first; and which appears last of all."""
    ordered = sorted(clip.objects, key=lambda thing: thing.first)
    found = []
    for number, (before, after) in enumerate(itertools.pairwise(ordered)):
        if after.first - before.first < _LATER:
            continue
        one, other = (before, after) if (clip.seed + number) % 2 else (after, before)
        found.append(_put("order", before.color, color=one.color, other=other.color))
    if ordered[-1].first - ordered[-2].first >= _LATER:
        found.append(_put("last", ordered[-1].color))
    return found

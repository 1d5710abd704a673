"""Questions about a clip, with the true answers."""

import itertools
import re
from dataclasses import dataclass

import numpy as np

from vidfold.tiny.casting import Object
from vidfold.tiny.scenes import Clip
from vidfold.tiny.textures import SIZE
from vidfold.tiny.worlds import COLORS, SCENES

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
"""Wording of every kind of question. Only training asks "moves", since the shipped model does not learn it."""

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
KINDS = tuple(GROUPS)
"""Kinds that `questions` asks."""
NUMBERS = ("zero", "one", "two", "three", "four", "five")
PLACES = ("northwest", "northeast", "southwest", "southeast")
WAYS = ("left", "right", "up", "down", "nowhere")
ENDS = ("first", "last")

_CLEAR_OF_MIDDLE = 4  # least pixels between the centre of an object and the middle of the frame, for "where"
_LATER = 2  # least frames between two first appearances, for "order" and "last"


@dataclass(frozen=True)
class Question:
    """One question with its true answer, a single word."""

    kind: str
    text: str
    answer: str


def questions(clip: Clip) -> tuple[Question, ...]:
    """All questions with one clear answer, in the order of ``KINDS``; every clip has at least scene and count."""
    asked = (_scenes(clip), _dots(clip), _objects(clip), _order(clip))
    found = [question for part in asked for question in part]
    found.append(Question("count", TEMPLATES["count"], NUMBERS[len(clip.objects)]))
    return tuple(sorted(found, key=lambda question: KINDS.index(question.kind)))


def learnt(text: str) -> bool:
    """Whether a question is worded as one of those that the embedded model was trained to answer."""
    words = {"end": ENDS, "scene": SCENES, "color": COLORS, "other": COLORS}
    any_of = {name: f"({'|'.join(choices)})" for name, choices in words.items()}
    patterns = (TEMPLATES[kind].removesuffix("?").format(**any_of) for kind in KINDS)
    return any(re.fullmatch(rf"{pattern}\s*\?", text) for pattern in patterns)


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
    """Shape of every object; scene and place if they are clear."""
    found = []
    for thing in clip.objects:
        color = thing.color
        found.append(_put("shape", thing.shape, color=color))
        scenes = {clip.scene_at(appearance.first) for appearance in thing.appearances}
        if len(scenes) == 1:
            found.append(_put("behind", scenes.pop(), color=color))
        if (place := _place(thing)) is not None:
            found.append(_put("where", place, color=color))
    return found


def _place(thing: Object) -> str | None:
    """The quarter of the frame that the object never leaves; None if there is none."""
    centers = np.concatenate([appearance.track for appearance in thing.appearances]) + (thing.size - SIZE) / 2
    if abs(centers).min() < _CLEAR_OF_MIDDLE or (np.sign(centers) != np.sign(centers[0])).any():
        return None
    x, y = centers[0] > 0
    return PLACES[2 * int(y) + int(x)]


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

"""Questions about a clip of photographs, with the true answers.

A question shows the pictures that it is about, each encoded by itself: no name is needed for what was never seen.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lab.photos.clips import Clip
from lab.photos.groups import GROUPS
from lab.photos.shots import PLACES
from lab.photos.sources import Source

_T = TypeVar("_T")

PICTURE = "<picture>"
TEMPLATES = {
    "first": "first",
    "last": "last",
    "next": "after <picture>",
    "on": "on <picture>",
    "behind": "behind <picture>",
    "where": "where <picture>",
    "order": "order <picture> <picture>",
    "seen": "seen <picture>",
    "again": "again <picture>",
    "with": "with <picture> <picture>",
    "follows": "follows <picture> <picture>",
    "many": "many <picture>",
    "shots": "shots",
    "small": "small",
}
"""Words of every kind: of which group is the first, the last or the next wide picture, the only small picture on a wide
one, the wide one behind a small one; where a small picture is, or no if it is not there; which of two is first seen;
whether a picture is seen, whether it is seen again after a cut, whether a small one is on a wide one, whether a wide
one follows another at once; how many small pictures are on a wide one; how many shots there are, and how many
different small pictures."""
KINDS = tuple(TEMPLATES)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
ENDS = ("yes", "no")
ANSWERS = {
    **dict.fromkeys(("first", "last", "next", "on", "behind"), GROUPS),
    "where": (*PLACES, "no"),
    "order": NUMBERS[1:3],
    **dict.fromkeys(("seen", "again", "with", "follows"), ENDS),
    "many": NUMBERS[:3],
    "shots": NUMBERS[2:6],
    "small": NUMBERS,
}
"""Possible answers of every kind; "one" and "two" of "order" are the first and the second picture of the question."""


@dataclass(frozen=True)
class Question:
    """One question about pictures with its true answer, a single word."""

    kind: str
    pictures: tuple[Source, ...]
    answer: str


def questions(clip: Clip, sources: Sequence[Source]) -> list[Question]:
    """All questions with one clear answer, in the order of ``TEMPLATES``; ``sources`` are those of the clip's split.

    Questions with the answers yes and no come in pairs, one of each.
    """
    parts, scenes = [part.scene for part in clip.parts], clip.scenes
    rng = np.random.default_rng((*clip.seed, 1))
    small = [(each, scene) for scene in scenes for each in scene.small]
    found = [Question("first", (), parts[0].wide.group), Question("last", (), parts[-1].wide.group)]
    for before, after in itertools.pairwise(parts):
        if parts.count(before) == 1:
            found.append(Question("next", (before.wide,), after.wide.group))
        if parts.count(before) == parts.count(after) == 1:
            found.append(Question("follows", (after.wide, before.wide), "yes"))
            found.append(Question("follows", (before.wide, after.wide), "no"))
    for scene in scenes:
        if len(scene.small) == 1:
            found.append(Question("on", (scene.wide,), scene.small[0].source.group))
        found.append(Question("many", (scene.wide,), NUMBERS[len(scene.small)]))
    for each, scene in small:
        found.append(Question("behind", (each.source,), scene.wide.group))
        found.append(Question("where", (each.source,), PLACES[each.place]))
        other = _any(rng, [other for other in scenes if other != scene])
        found.append(Question("with", (each.source, scene.wide), "yes"))
        found.append(Question("with", (each.source, other.wide), "no"))
    for before, after in itertools.combinations(scenes, 2):
        pair = (_any(rng, before.pictures), _any(rng, after.pictures))
        swapped = rng.random() < 0.5
        found.append(Question("order", pair[::-1] if swapped else pair, NUMBERS[1 + swapped]))
    shown = {picture.path for scene in scenes for picture in scene.pictures}
    absent = [source for source in sources if source.path not in shown]
    for number, (each, _) in enumerate(small):
        if number % 3 == 0:
            found.append(Question("where", (_any(rng, absent),), "no"))
        found.append(Question("seen", (each.source,), "yes"))
        found.append(Question("seen", (_any(rng, absent),), "no"))
    once = [scene for scene in scenes if parts.count(scene) == 1]
    for scene in scenes:
        if parts.count(scene) > 1 and once:
            found.append(Question("again", (scene.wide,), "yes"))
            found.append(Question("again", (_any(rng, once).wide,), "no"))
    found.append(Question("shots", (), NUMBERS[len(parts)]))
    if len(small) < len(NUMBERS):
        found.append(Question("small", (), NUMBERS[len(small)]))
    return sorted(found, key=lambda question: KINDS.index(question.kind))


def _any(rng: np.random.Generator, choices: Sequence[_T]) -> _T:
    return choices[int(rng.integers(len(choices)))]

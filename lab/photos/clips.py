"""Clips of several shots: which views of which shots follow one another, with cuts and returns.

Every group and every file occurs in one shot of a clip only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.photos.shots import CELLS, PLACES, VIEWS, Shot, box
from lab.photos.sources import SPLITS, Source

LENGTHS = (8, 12, 16)
"""Frames of clips for measuring, in turn."""
_RETURN = 0.5  # share of clips in which one shot comes back
_MOST_SMALL = 2
_TRIES = 200
_DRAWS = 40


@dataclass(frozen=True)
class Small:
    """A small picture: its place, what it shows, and the index of the shot whose encoded views show it there."""

    place: int
    source: Source
    shot: int


@dataclass(frozen=True)
class Scene:
    """What one shot of a clip shows: the index of the encoded shot, its wide picture, small pictures by place."""

    shot: int
    wide: Source
    small: tuple[Small, ...]

    @property
    def pictures(self) -> tuple[Source, ...]:
        """The wide picture, then the small ones."""
        return (self.wide, *(each.source for each in self.small))

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of the pictures."""
        return tuple(each.group for each in self.pictures)


@dataclass(frozen=True)
class Part:
    """``views`` consecutive frames of a clip that show a scene, from the scene's view ``first`` on."""

    scene: Scene
    first: int
    views: int


@dataclass(frozen=True)
class Clip:
    """Scenes in order; a scene may come back, and neighbours differ."""

    seed: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The different scenes, in the order of their first appearance."""
        return tuple(dict.fromkeys(part.scene for part in self.parts))


def compose(pool: Sequence[Shot], split: str, number: int, frames: int, *, mixed: bool = False) -> Clip:
    """Clip ``number`` of a split, of ``frames`` frames of encoded shots.

    ``mixed`` also puts the cells of small pictures of other shots onto a shot, which multiplies what training sees.
    The clips that are measured are not mixed: every frame was encoded as a whole.
    """
    seed = (list(SPLITS).index(split), number, frames, int(mixed))
    rng = np.random.default_rng(seed)
    least, most = max(2, -(-frames // VIEWS)), min(5, frames // 2)
    count = int(rng.integers(least, most + 1))
    back = count > 2 and rng.random() < _RETURN
    scenes = _scenes(rng, pool, count - back, mixed)
    if back:
        place = int(rng.integers(2, count))
        scenes.insert(place, scenes[rng.integers(0, place - 1)])
    parts = []
    for scene, views in zip(scenes, _lengths(rng, count, frames), strict=True):
        parts.append(Part(scene, int(rng.integers(0, VIEWS - views + 1)), views))
    return Clip(seed, tuple(parts))


def frames_of(clip: Clip, cells: NDArray[np.float16]) -> NDArray[np.float16]:
    """Encoded frames (F, 49, D) of a clip, from those of all shots (S, 4, 49, D)."""
    found = []
    for part in clip.parts:
        views = slice(part.first, part.first + part.views)
        frames = cells[part.scene.shot, views].copy().reshape(part.views, CELLS, CELLS, -1)
        for small in part.scene.small:
            if small.shot != part.scene.shot:
                rows, columns = box(small.place)
                frames[:, rows, columns] = cells[small.shot, views].reshape(frames.shape)[:, rows, columns]
        found.append(frames.reshape(part.views, CELLS * CELLS, -1))
    return np.concatenate(found)


def cells_of(scene: Scene) -> NDArray[np.int64]:
    """Which of the scene's ``pictures`` every cell shows, (7, 7)."""
    cells = np.zeros((CELLS, CELLS), np.int64)
    for number, small in enumerate(scene.small, start=1):
        cells[box(small.place)] = number
    return cells


def _scenes(rng: np.random.Generator, pool: Sequence[Shot], count: int, mixed: bool) -> list[Scene]:
    """``count`` scenes without a common group or file."""
    for _ in range(_TRIES):
        scenes: list[Scene] = []
        for number in rng.permutation(len(pool)):
            pictures = [picture for scene in scenes for picture in scene.pictures]
            taken = {picture.group for picture in pictures}
            scene = _mixed(rng, pool, int(number), taken) if mixed else plain(pool[number], int(number))
            if scene is not None and _differ([*pictures, *scene.pictures]):
                scenes.append(scene)
            if len(scenes) == count:
                return scenes
    raise ValueError(f"{len(pool)} encoded shots hold no {count} without a common group: encode more")


def _differ(pictures: Sequence[Source]) -> bool:
    """Whether all pictures are of different groups and different files: a part of a photograph is not beside it."""
    return all(len({getattr(each, of) for each in pictures}) == len(pictures) for of in ("group", "path"))


def plain(shot: Shot, number: int) -> Scene:
    """What an encoded shot shows, as it was encoded."""
    small = (Small(place, source, number) for place, source in shot.small)
    return Scene(number, shot.wide, tuple(sorted(small, key=lambda each: each.place)))


def _mixed(rng: np.random.Generator, pool: Sequence[Shot], number: int, taken: set[str]) -> Scene | None:
    """The scene of a shot with the small pictures of others at its places, and sometimes at one more."""
    own, used = [place for place, _ in pool[number].small], {*taken, pool[number].wide.group}
    free = [place for place in range(len(PLACES)) if place not in own]
    more = len(own) < _MOST_SMALL and rng.random() < 0.5
    small = []
    for place in own + ([free[rng.integers(len(free))]] if more else []):
        donor = _donor(rng, pool, place, used)
        if donor is None:
            return None
        used.add(donor.source.group)
        small.append(donor)
    return Scene(number, pool[number].wide, tuple(sorted(small, key=lambda each: each.place)))


def _donor(rng: np.random.Generator, pool: Sequence[Shot], place: int, used: set[str]) -> Small | None:
    """A small picture at a place, of a group that is not used, from a few shots drawn at random."""
    for number in rng.integers(0, len(pool), _DRAWS).tolist():
        for there, source in pool[number].small:
            if there == place and source.group not in used:
                return Small(place, source, number)
    return None


def _lengths(rng: np.random.Generator, count: int, frames: int) -> list[int]:
    """``count`` lengths of 1 to ``VIEWS`` that sum to ``frames``, as even or uneven as chance has it."""
    lengths = np.ones(count, int)
    while lengths.sum() < frames:
        lengths[rng.choice(np.flatnonzero(lengths < VIEWS))] += 1
    return [int(length) for length in lengths]

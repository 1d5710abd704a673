"""What happens in a clip: its shots, the objects in them, and how camera and objects move."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.textures import MARGIN, SIZE
from vidfold.tiny.worlds import COLORS, SCENES, SHAPES, Look

MAX_OBJECTS, MAX_DOTS, MAX_SHOTS = 5, 3, 4
SHORTEST_SHOT = 4
_TRIES = 30
_HEADINGS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], float)

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shot:
    """Frames ``first`` to ``last`` between two cuts, in one scene.

    Attributes:
        texture: index of the scene's texture.
        corner: (frames, 2) int64, top-left corner (x, y) of the part of the texture that each frame shows.
    """

    scene: str
    first: int
    last: int
    texture: int
    corner: IntArray


@dataclass(frozen=True, eq=False)
class Appearance:
    """An object on screen without interruption: ``track`` (last - first + 1, 2) int64, its top-left corner (x, y)."""

    first: int
    last: int
    track: IntArray


@dataclass(frozen=True, eq=False)
class Object:
    """One object or dot of a clip, ``size`` pixels high and wide; it may come back in later shots."""

    color: str
    shape: str
    size: int
    appearances: tuple[Appearance, ...]

    @property
    def first(self) -> int:
        """The first frame that shows it."""
        return self.appearances[0].first


@dataclass(frozen=True, eq=False)
class Cast:
    """Shots, big objects and dots of a clip; all objects and dots have different colours."""

    shots: tuple[Shot, ...]
    objects: tuple[Object, ...]
    dots: tuple[Object, ...]


def cast(rng: np.random.Generator, look: Look, frames: int, textures: int) -> Cast:
    """Draws what happens in a clip of ``frames`` frames, again and again until at least two objects fit."""
    content = _drawn(rng, look, frames, textures)
    while len(content.objects) < 2:
        content = _drawn(rng, look, frames, textures)
    return content


def _drawn(rng: np.random.Generator, look: Look, frames: int, textures: int) -> Cast:
    """One draw; nothing overlaps, and what does not fit is omitted."""
    shots = _shots(rng, frames, textures)
    count, dots = int(rng.integers(2, MAX_OBJECTS + 1)), int(rng.integers(1, MAX_DOTS + 1))
    colors = [COLORS[number] for number in rng.permutation(len(COLORS))[: count + dots]]
    shapes = [SHAPES[number] for number in rng.integers(len(SHAPES), size=count)]
    sizes = [*rng.integers(*look.big, size=count), *rng.integers(*look.tiny, size=dots)]
    present: list[list[tuple[int, Appearance]]] = [[] for _ in shots]
    for thing in range(count + dots):
        tiny = thing >= count
        where = rng.random(len(shots)) < (0 if tiny else 0.55)
        where[rng.integers(len(shots))] = True
        for number in np.flatnonzero(where):
            placed = _place(rng, shots[number], int(sizes[thing]), tiny, [(sizes[i], a) for i, a in present[number]])
            if placed is not None:
                present[number].append((thing, placed))
    things = [
        Object(color, shape, int(size), appearances)
        for number, (color, shape, size) in enumerate(zip(colors, [*shapes, *["dot"] * dots], sizes, strict=True))
        if (appearances := tuple(a for shot in present for i, a in shot if i == number))
    ]
    big = tuple(thing for thing in things if thing.shape != "dot")
    return Cast(shots, big, tuple(thing for thing in things if thing.shape == "dot"))


def _shots(rng: np.random.Generator, frames: int, textures: int) -> tuple[Shot, ...]:
    """One to four shots of at least four frames; with three or more, one may show the first shot's place again."""
    count = int(rng.integers(1, max(1, min(MAX_SHOTS, frames // SHORTEST_SHOT)) + 1))
    spare = frames - SHORTEST_SHOT * count
    cuts = np.sort(rng.integers(0, max(spare, 0) + 1, count - 1)) + SHORTEST_SHOT * np.arange(1, count)
    bounds = [0, *cuts.tolist(), frames]
    scenes, chosen = rng.permutation(len(SCENES))[:count], rng.integers(textures, size=count)
    if count > 2 and rng.random() < 0.4:
        again = int(rng.integers(2, count))
        scenes[again], chosen[again] = scenes[0], chosen[0]
    return tuple(
        Shot(SCENES[scenes[number]], first, end - 1, int(chosen[number]), _camera(rng, end - first))
        for number, (first, end) in enumerate(itertools.pairwise(bounds))
    )


def _camera(rng: np.random.Generator, frames: int) -> IntArray:
    """Top-left corners (frames, 2) of the view of a camera that stands still or pans at constant speed."""
    travel = np.zeros(2)
    if rng.random() < 0.5:
        travel = _HEADINGS[rng.integers(len(_HEADINGS))] * rng.uniform(8, MARGIN - 4)
    start = np.maximum(0, -travel) + rng.random(2) * (MARGIN - abs(travel))
    corners = start + travel * np.linspace(0, 1, frames)[:, None]
    return np.clip(np.rint(corners), 0, MARGIN).astype(np.int64)


def _place(
    rng: np.random.Generator, shot: Shot, size: int, tiny: bool, others: list[tuple[int, Appearance]]
) -> Appearance | None:
    """An appearance in a shot that overlaps no other; None if there is no room."""
    length, gap = shot.last - shot.first + 1, 2 if tiny else 1
    for _ in range(_TRIES):
        begin, end = 0, length
        chance = rng.random()
        if chance < 0.3:
            begin = int(rng.integers(1, max(2, length // 2 + 1)))
        elif chance < 0.55:
            end = int(rng.integers(max(1, length // 2), max(2, length)))
        begin = min(begin, length - 1)
        end = max(end, begin + 1)
        steps = np.linspace(0, 1, end - begin)[:, None]
        travel = np.zeros(2)
        if not tiny and rng.random() < 0.5:
            travel = _HEADINGS[rng.integers(len(_HEADINGS))] * rng.uniform(20, 45)
        corner = shot.corner[begin:end]
        path = travel * steps - (corner - corner[0])
        low, high = -path.min(0), SIZE - size - path.max(0)
        if (low > high).any():
            continue
        track = np.clip(np.rint(low + rng.random(2) * (high - low) + path), 0, SIZE - size).astype(np.int64)
        placed = Appearance(shot.first + begin, shot.first + end - 1, track)
        if all(_apart(placed, size, other, extent, gap) for extent, other in others):
            return placed
    return None


def _apart(one: Appearance, size: int, other: Appearance, extent: int, gap: int) -> bool:
    """Whether two objects are at least ``gap`` pixels apart in all frames that show both."""
    first, end = max(one.first, other.first), min(one.last, other.last) + 1
    if first >= end:
        return True
    here = one.track[first - one.first : end - one.first]
    there = other.track[first - other.first : end - other.first]
    clear = np.maximum(there - here - size, here - there - extent).max(1)
    return bool(clear.min() >= gap)

"""The little world: short synthetic clips of coloured shapes over textured scenes, each made from its seed alone.

A clip shows 2 to 5 big objects of different colours, which move straight or stand still, and one tiny dot of yet
another colour.  One object appears strictly last and another leaves strictly first; nothing overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

FRAMES = 8
SIZE = 96
"""Height and width of a frame in pixels."""

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "pink")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SCENES = ("sea", "sand", "grass", "night", "snow", "brick")
MAX_OBJECTS = 5

RANGES = {
    "train": range(0, 1_000_000_000),
    "validation": range(1_000_000_000, 1_001_000_000),
    "test": range(2_000_000_000, 2_001_000_000),
}
"""Seeds of each split.  They are disjoint, and each split has textures of its own."""

RGB = np.array(
    [
        (215, 30, 30),
        (25, 170, 45),
        (35, 70, 225),
        (240, 220, 30),
        (130, 40, 170),
        (245, 130, 20),
        (40, 215, 225),
        (250, 130, 190),
    ],
    np.float32,
)
"""Red, green and blue of every colour in ``COLORS``."""

_HEADINGS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)], np.float32)
_MARGIN = 32  # textures are larger than frames by this much, so that every clip cuts out another part
_TEXTURES = 20
_NOISE_FRAMES = 40
_TRIES = 40

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Object:
    """One thing in a clip: ``track`` is (last - first + 1, 2), the top-left corner (x, y) in pixels in each frame."""

    color: str
    shape: str
    size: int
    first: int
    last: int
    track: IntArray


@dataclass(frozen=True)
class Clip:
    """A rendered clip and the facts of its scene.

    ``frames``: (8, 96, 96, 3) uint8 RGB.  ``labels``: (8, 96, 96) uint8, 0 where the scene shows, i + 1 on
    ``objects[i]``, ``len(objects) + 1`` on the dot.
    """

    seed: int
    scene: str
    objects: tuple[Object, ...]
    dot: Object
    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class _Bank:
    textures: dict[str, list[FloatArray]]
    noise: FloatArray


def seeds(split: str, count: int, start: int = 0) -> range:
    """``count`` seeds of a split from its ``start``-th on; ``ValueError`` where the split does not hold them."""
    if split not in RANGES:
        raise ValueError(f"split must be one of {', '.join(RANGES)}; got {split!r}")
    chosen = range(RANGES[split].start + start, RANGES[split].start + start + count)
    if start < 0 or count < 0 or chosen.stop > RANGES[split].stop:
        size = len(RANGES[split])
        raise ValueError(f"split {split!r} has {size} seeds; got start={start}, count={count}, which leaves it")
    return chosen


def split_of(seed: int) -> str:
    """The split a seed belongs to; ``ValueError`` for a seed of none."""
    for split, members in RANGES.items():
        if seed in members:
            return split
    raise ValueError(f"seed {seed} belongs to no split; use seeds('train' | 'validation' | 'test', count)")


def render(seed: int) -> Clip:
    """The clip of a seed.  The same seed gives the same clip, whatever was rendered before it."""
    bank = _bank(list(RANGES).index(split_of(seed)))
    rng = np.random.default_rng(seed)
    scene = SCENES[rng.integers(len(SCENES))]
    objects, dot = _arrange(rng)
    canvas = _background(rng, scene, bank)
    labels = np.zeros((FRAMES, SIZE, SIZE), np.uint8)
    for label, thing in enumerate((*objects, dot), start=1):
        _draw(canvas, labels, thing, label, shade=1.0 if thing is dot else rng.uniform(0.9, 1.1))
    frames = np.clip(canvas, 0, 255).astype(np.uint8)
    return Clip(seed, scene, objects, dot, frames, labels)


def _arrange(rng: np.random.Generator) -> tuple[tuple[Object, ...], Object]:
    """Objects and dot that never touch; a crowd that finds no room is dropped and drawn anew."""
    while True:
        count = int(rng.integers(2, MAX_OBJECTS + 1))
        colors = rng.permutation(len(COLORS))[: count + 1]
        firsts, ends = _spans(rng, count)
        things: list[Object] = []
        for color, first, end in zip(colors[:count], firsts, ends, strict=True):
            shape = SHAPES[rng.integers(len(SHAPES))]
            heading = _HEADINGS[rng.integers(len(_HEADINGS))]
            thing = _place(rng, things, COLORS[color], shape, heading, (int(first), int(end)))
            if thing is None:
                break
            things.append(thing)
        else:
            dot = _place_dot(rng, things, COLORS[colors[count]])
            if dot is not None:
                return tuple(things), dot


def _spans(rng: np.random.Generator, count: int) -> tuple[IntArray, IntArray]:
    """First frame and frame after the last of every object, with one strict latecomer and one strict first leaver."""
    firsts, ends = np.zeros(count, int), np.full(count, FRAMES)
    latecomer, leaver, *others = rng.permutation(count)
    firsts[latecomer], ends[leaver] = rng.integers(3, 6, 2)
    for other in others:
        fate = rng.random()
        if fate < 0.3:
            firsts[other] = rng.integers(1, firsts[latecomer])
        elif fate < 0.5:
            ends[other] = rng.integers(ends[leaver] + 1, FRAMES + 1)
    return firsts, ends


def _place(
    rng: np.random.Generator,
    others: list[Object],
    color: str,
    shape: str,
    heading: FloatArray,
    span: tuple[int, int],
) -> Object | None:
    first, end = span
    steps = np.arange(end - first)[:, None]
    for attempt in range(_TRIES):
        size = int(rng.integers(13, 21)) if attempt < _TRIES // 2 else 13
        velocity = heading * (rng.uniform(4, 7.5) if len(steps) <= 5 else rng.uniform(3, 6))
        way = velocity * (len(steps) - 1)
        low, high = np.maximum(0, -way), SIZE - size - np.maximum(0, way)
        start = low + rng.random(2) * (high - low)
        track = np.clip(np.rint(start + velocity * steps), 0, SIZE - size).astype(np.int64)
        thing = Object(color, shape, size, first, end - 1, track)
        if all(_apart(thing, other, gap=1) for other in others):
            return thing
    return None


def _place_dot(rng: np.random.Generator, others: list[Object], color: str) -> Object | None:
    size, length = int(rng.integers(5, 8)), int(rng.integers(4, FRAMES + 1))
    first = int(rng.integers(0, FRAMES - length + 1))
    for _ in range(_TRIES):
        corner = rng.integers(1, SIZE - size - 1, 2)
        dot = Object(color, "circle", size, first, first + length - 1, np.tile(corner, (length, 1)))
        if all(_apart(dot, other, gap=2) for other in others):
            return dot
    return None


def _apart(one: Object, other: Object, gap: int) -> bool:
    """Whether the boxes of two things keep ``gap`` pixels between them in all frames that show both."""
    first, end = max(one.first, other.first), min(one.last, other.last) + 1
    if first >= end:
        return True
    here = one.track[first - one.first : end - one.first]
    there = other.track[first - other.first : end - other.first]
    clear = np.maximum(there - here - one.size, here - there - other.size).max(1)
    return bool(clear.min() >= gap)


def _draw(canvas: FloatArray, labels: NDArray[np.uint8], thing: Object, label: int, shade: float) -> None:
    mask = _silhouette(thing.shape, thing.size)
    paint = RGB[COLORS.index(thing.color)] * shade
    for frame, (x, y) in enumerate(thing.track, start=thing.first):
        canvas[frame, y : y + thing.size, x : x + thing.size][mask] = paint
        labels[frame, y : y + thing.size, x : x + thing.size][mask] = label


@cache
def _silhouette(shape: str, size: int) -> NDArray[np.bool_]:
    offset = (np.arange(size) - (size - 1) / 2) / (size / 2)
    v, u = np.meshgrid(offset, offset, indexing="ij")
    radius = u * u + v * v
    masks: dict[str, NDArray[np.bool_]] = {
        "circle": radius <= 1,
        "square": np.maximum(abs(u), abs(v)) <= 0.86,
        "triangle": (v <= 0.86) & (abs(u) <= 0.52 * (v + 0.95)),
        "cross": np.minimum(abs(u), abs(v)) <= 0.32,
        "ring": (radius <= 1) & (radius >= 0.3),
    }
    return masks[shape]


def _background(rng: np.random.Generator, scene: str, bank: _Bank) -> FloatArray:
    """(8, 96, 96, 3): one cut-out of a texture under random light, with another grain in every frame."""
    texture = bank.textures[scene][rng.integers(_TEXTURES)]
    y, x = rng.integers(0, _MARGIN, 2)
    light, tint = rng.uniform(0.88, 1.12), rng.uniform(-10, 10, 3)
    ground = texture[y : y + SIZE, x : x + SIZE] * np.float32(light) + tint.astype(np.float32)
    return ground + bank.noise[rng.integers(0, _NOISE_FRAMES, FRAMES)]


@cache
def _bank(seed: int) -> _Bank:
    rng = np.random.default_rng(seed)
    textures = {scene: [_texture(rng, scene) for _ in range(_TEXTURES)] for scene in SCENES}
    noise = rng.standard_normal((_NOISE_FRAMES, SIZE, SIZE, 3), np.float32) * np.float32(5)
    return _Bank(textures, noise)


def _texture(rng: np.random.Generator, scene: str) -> FloatArray:
    """(128, 128, 3): the scene's colour and a relief of waves, clouds, grain, stars or bricks."""
    extent = SIZE + _MARGIN
    y, x = np.mgrid[0:extent, 0:extent].astype(np.float32)
    clouds, grain = _clouds(rng, extent), rng.standard_normal((extent, extent))
    phase, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6)
    if scene == "sea":
        color, relief = (80, 105, 135), 14 * np.sin(frequency * y + phase + clouds) + 6 * clouds
    elif scene == "sand":
        color, relief = (185, 165, 125), 10 * clouds + 9 * grain
    elif scene == "grass":
        color, relief = (90, 120, 75), 12 * np.sin(1.6 * frequency * x + 2 * clouds + phase) + 6 * grain
    elif scene == "night":
        color, relief = (35, 35, 50), 4 * clouds + 120 * (rng.random((extent, extent)) > 0.996)
    elif scene == "snow":
        color, relief = (205, 208, 215), 9 * clouds + 3 * grain
    else:
        height = int(rng.integers(7, 12))
        shifted = x + height * (y // height % 2)
        joints = (y % height < 1.5) | (shifted % (2 * height) < 1.5)
        color, relief = (140, 95, 85), -32 * joints + 5 * grain + 4 * clouds
    texture: FloatArray = (np.array(color) + relief[..., None]).astype(np.float32)
    return texture


def _clouds(rng: np.random.Generator, extent: int) -> NDArray[np.float64]:
    """(extent, extent): smooth noise, random knots every few pixels with bilinear interpolation between them."""
    spacing = int(rng.integers(6, 18))
    knots = np.arange(extent // spacing + 2)
    weights = np.maximum(0, 1 - abs(np.arange(extent)[:, None] / spacing - knots))
    return weights @ rng.standard_normal((len(knots), len(knots))) @ weights.T

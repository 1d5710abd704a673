"""The little worlds: short synthetic clips of coloured shapes over textured scenes, each made from its seed alone.

A clip has one to four shots.  2 to 5 big objects of different colours move straight or stand still in them and may
come back after a cut; up to three tiny dots have colours of their own; the camera stands still or pans.  Nothing
overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.casting import Cast, Object, Shot, cast
from vidfold.tiny.textures import NOISE_FRAMES, SIZE, TEXTURES, Bank, bank
from vidfold.tiny.worlds import COLORS, LOOKS, SCENES, SHAPES, WORLDS, FloatArray, Look

FRAMES = 8
"""Frames of a clip where nothing else is asked for."""

RANGES = {
    "train": range(0, 1_000_000_000),
    "search": range(1_000_000_000, 1_001_000_000),
    "confirm": range(2_000_000_000, 2_001_000_000),
    "final": range(3_000_000_000, 3_001_000_000),
}
"""Seeds of each split in the first world: to learn from, to choose settings with, to check the choice, and to report.
They are disjoint, and each split has textures of its own."""
SECOND_WORLD = 10_000_000_000
"""What is added to a seed for a clip of the second world."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A rendered clip of F frames and the facts of its scenes.

    ``frames``: (F, 96, 96, 3) uint8 RGB.  ``labels``: (F, 96, 96) uint8, 0 where the scene shows, i + 1 on
    ``objects[i]``, ``len(objects) + 1 + j`` on ``dots[j]``.
    """

    seed: int
    shots: tuple[Shot, ...]
    objects: tuple[Object, ...]
    dots: tuple[Object, ...]
    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def scene_at(self, frame: int) -> str:
        """The scene that a frame shows."""
        return next(shot.scene for shot in self.shots if frame <= shot.last)


def seeds(split: str, count: int, start: int = 0, world: str = "first") -> range:
    """``count`` seeds of a split from its ``start``-th on; ``ValueError`` where the split does not hold them."""
    if split not in RANGES:
        raise ValueError(f"split must be one of {', '.join(RANGES)}; got {split!r}")
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}; got {world!r}")
    chosen = range(RANGES[split].start + start, RANGES[split].start + start + count)
    if start < 0 or count < 0 or chosen.stop > RANGES[split].stop:
        size = len(RANGES[split])
        raise ValueError(f"split {split!r} has {size} seeds; got start={start}, count={count}, which leaves it")
    offset = SECOND_WORLD * WORLDS.index(world)
    return range(chosen.start + offset, chosen.stop + offset)


def world_of(seed: int) -> str:
    """The world a seed belongs to."""
    return WORLDS[seed >= SECOND_WORLD]


def split_of(seed: int) -> str:
    """The split a seed belongs to; ``ValueError`` for a seed of none."""
    for split, members in RANGES.items():
        if seed - SECOND_WORLD * (seed >= SECOND_WORLD) in members:
            return split
    raise ValueError(f"seed {seed} belongs to no split; use seeds('train' | 'search' | 'confirm' | 'final', count)")


def render(seed: int, frames: int = FRAMES) -> Clip:
    """The clip of a seed.  The same seed and length give the same clip, whatever was rendered before it.

    Raises:
        ValueError: a seed of no split, or less than one frame.
    """
    split = split_of(seed)
    if frames < 1:
        raise ValueError(f"frames must be at least 1; got {frames}")
    look, grounds = LOOKS[world_of(seed)], bank(world_of(seed), list(RANGES).index(split))
    rng = np.random.default_rng(seed)
    acted = cast(rng, look, frames, TEXTURES)
    while len(acted.objects) < 2:  # a crowd that found no room is drawn anew
        acted = cast(rng, look, frames, TEXTURES)
    canvas = _background(rng, acted, grounds, frames)
    labels = np.zeros((frames, SIZE, SIZE), np.uint8)
    for label, thing in enumerate((*acted.objects, *acted.dots), start=1):
        _draw(canvas, labels, thing, label, look, shade=1.0 if thing.shape == "dot" else rng.uniform(0.9, 1.1))
    shown = np.clip(canvas, 0, 255).astype(np.uint8)
    return Clip(seed, acted.shots, acted.objects, acted.dots, shown, labels)


def _draw(canvas: FloatArray, labels: NDArray[np.uint8], thing: Object, label: int, look: Look, shade: float) -> None:
    mask = look.silhouette(thing.shape, thing.size)
    inner = mask if look.rim == 1 else _inside(mask)
    paint = look.palette[COLORS.index(thing.color)] * np.where(inner, 1, look.rim)[..., None] * shade
    for appearance in thing.appearances:
        for frame, (x, y) in enumerate(appearance.track, start=appearance.first):
            here = (frame, slice(y, y + thing.size), slice(x, x + thing.size))
            canvas[here][mask] = paint[mask]
            labels[here][mask] = label


def _inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels whose four neighbours belong to the mask as well."""
    wide = np.pad(mask, 1)
    inside: NDArray[np.bool_] = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def _background(rng: np.random.Generator, acted: Cast, grounds: Bank, frames: int) -> FloatArray:
    """(F, 96, 96, 3): cut-outs of textures under random light, one light a place, another grain in every frame."""
    canvas = grounds.noise[rng.integers(0, NOISE_FRAMES, frames)]
    lights: dict[tuple[str, int], tuple[np.float32, FloatArray]] = {}
    for shot in acted.shots:
        drawn = np.float32(rng.uniform(0.88, 1.12)), rng.uniform(-10, 10, 3).astype(np.float32)
        light, tint = lights.setdefault((shot.scene, shot.texture), drawn)
        ground = grounds.textures[shot.scene][shot.texture] * light + tint
        for frame, (x, y) in enumerate(shot.corner, start=shot.first):
            canvas[frame] += ground[y : y + SIZE, x : x + SIZE]
    return canvas


__all__ = [
    "COLORS",
    "FRAMES",
    "RANGES",
    "SCENES",
    "SECOND_WORLD",
    "SHAPES",
    "SIZE",
    "Clip",
    "Object",
    "render",
    "seeds",
    "split_of",
    "world_of",
]

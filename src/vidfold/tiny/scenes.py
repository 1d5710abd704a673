"""Short synthetic clips of coloured shapes over textured scenes, each made from its seed.

A clip has one to four shots with 2 to 5 big objects and up to three tiny dots.  All have different colours and never
overlap.  Objects stand still or move in a straight line, and may come back after a cut; the camera stands still or
pans.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.casting import Cast, Object, Shot, cast
from vidfold.tiny.textures import NOISE_FRAMES, SIZE, TEXTURES, Bank, bank
from vidfold.tiny.worlds import COLORS, LOOKS, WORLDS, FloatArray, Look

FRAMES = 8
"""Default number of frames of a clip."""

RANGES = {
    "train": range(0, 1_000_000_000),
    "search": range(1_000_000_000, 1_001_000_000),
    "confirm": range(2_000_000_000, 2_001_000_000),
    "final": range(3_000_000_000, 3_001_000_000),
}
"""Seeds of each split in the first world: for training, for choosing settings, for checking a choice, for reporting.
Splits are disjoint and have different textures."""
SECOND_WORLD = 10_000_000_000
"""Offset of the seeds of the second world."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A rendered clip of F frames, and what it shows.

    ``frames``: (F, 96, 96, 3) uint8 RGB.  ``labels``: (F, 96, 96) uint8, 0 for background, i + 1 for ``objects[i]``,
    ``len(objects) + 1 + j`` for ``dots[j]``.
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
    """``count`` seeds of a split, starting at index ``start``; ``ValueError`` if the split has too few."""
    if split not in RANGES:
        raise ValueError(f"split must be one of {', '.join(RANGES)}; got {split!r}")
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}; got {world!r}")
    chosen = range(RANGES[split].start + start, RANGES[split].start + start + count)
    if start < 0 or count < 0 or chosen.stop > RANGES[split].stop:
        size = len(RANGES[split])
        raise ValueError(f"split {split!r} has {size} seeds; got start={start}, count={count}, which goes beyond them")
    offset = SECOND_WORLD * WORLDS.index(world)
    return range(chosen.start + offset, chosen.stop + offset)


def world_of(seed: int) -> str:
    """The world a seed belongs to."""
    return WORLDS[seed >= SECOND_WORLD]


def split_of(seed: int) -> str:
    """The split a seed belongs to; ``ValueError`` if it belongs to none."""
    for split, members in RANGES.items():
        if seed - SECOND_WORLD * (seed >= SECOND_WORLD) in members:
            return split
    raise ValueError(f"seed {seed} belongs to no split; use seeds('train' | 'search' | 'confirm' | 'final', count)")


def render(seed: int, frames: int = FRAMES) -> Clip:
    """The clip of a seed.  The same seed and length always give the same clip.

    Raises:
        ValueError: the seed belongs to no split, or ``frames`` is below 1.
    """
    split = split_of(seed)
    if frames < 1:
        raise ValueError(f"frames must be at least 1; got {frames}")
    look, backgrounds = LOOKS[world_of(seed)], bank(world_of(seed), list(RANGES).index(split))
    rng = np.random.default_rng(seed)
    content = cast(rng, look, frames, TEXTURES)
    shown, labels = filmed(rng, content, look, backgrounds, frames)
    return Clip(seed, content.shots, content.objects, content.dots, shown, labels)


def filmed(
    rng: np.random.Generator, content: Cast, look: Look, backgrounds: Bank, frames: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Frames (F, 96, 96, 3) and labels (F, 96, 96) of what happens, as those of a `Clip`."""
    canvas = _background(rng, content, backgrounds, frames)
    labels = np.zeros((frames, SIZE, SIZE), np.uint8)
    for label, thing in enumerate((*content.objects, *content.dots), start=1):
        _draw(canvas, labels, thing, label, look, shade=1.0 if thing.shape == "dot" else rng.uniform(0.9, 1.1))
    return np.clip(canvas, 0, 255).astype(np.uint8), labels


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
    """The pixels of the mask whose four neighbours also belong to it."""
    wide = np.pad(mask, 1)
    inside: NDArray[np.bool_] = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def _background(rng: np.random.Generator, content: Cast, backgrounds: Bank, frames: int) -> FloatArray:
    """Crops of textures with one random light per place and new noise in every frame, (F, 96, 96, 3)."""
    canvas = backgrounds.noise[rng.integers(0, NOISE_FRAMES, frames)]
    lights: dict[tuple[str, int], tuple[np.float32, FloatArray]] = {}
    for shot in content.shots:
        drawn = np.float32(rng.uniform(0.88, 1.12)), rng.uniform(-10, 10, 3).astype(np.float32)
        light, tint = lights.setdefault((shot.scene, shot.texture), drawn)
        ground = backgrounds.textures[shot.scene][shot.texture] * light + tint
        for frame, (x, y) in enumerate(shot.corner, start=shot.first):
            canvas[frame] += ground[y : y + SIZE, x : x + SIZE]
    return canvas

"""Backgrounds of the two worlds: textures of every scene, and camera noise."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.worlds import SCENES, WORLDS, FloatArray

SIZE = 96
"""Height and width of a frame in pixels."""
MARGIN = 32
"""Textures are larger than frames by this many pixels, so that crops differ and the camera can pan."""
TEXTURES = 20
"""Number of textures per scene in a bank."""
NOISE_FRAMES = 40


@dataclass(frozen=True, eq=False)
class Bank:
    """Textures (128, 128, 3) of every scene, and noise (40, 96, 96, 3) to add to frames, float32."""

    textures: dict[str, list[FloatArray]]
    noise: FloatArray


@cache
def bank(world: str, number: int) -> Bank:
    """The bank of a world with the given number; different numbers have different textures."""
    rng = np.random.default_rng((WORLDS.index(world), number))
    relief = _RELIEFS[world]
    textures = {scene: [_painted(*relief(rng, scene, SIZE + MARGIN)) for _ in range(TEXTURES)] for scene in SCENES}
    return Bank(textures, rng.standard_normal((NOISE_FRAMES, SIZE, SIZE, 3), np.float32) * np.float32(5))


def _painted(color: tuple[int, int, int], relief: NDArray[np.float64]) -> FloatArray:
    painted: FloatArray = (np.array(color) + relief[..., None]).astype(np.float32)
    return painted


def _first(rng: np.random.Generator, scene: str, extent: int) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """A scene's colour and its brightness pattern (extent, extent): waves, clouds, noise, stars or bricks."""
    y, x = np.mgrid[0:extent, 0:extent].astype(np.float32)
    clouds, grain = _clouds(rng, extent), rng.standard_normal((extent, extent))
    phase, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6)
    if scene == "sea":
        return (80, 105, 135), 14 * np.sin(frequency * y + phase + clouds) + 6 * clouds
    if scene == "sand":
        return (185, 165, 125), 10 * clouds + 9 * grain
    if scene == "grass":
        return (90, 120, 75), 12 * np.sin(1.6 * frequency * x + 2 * clouds + phase) + 6 * grain
    if scene == "night":
        return (35, 35, 50), 4 * clouds + 120 * (rng.random((extent, extent)) > 0.996)
    if scene == "snow":
        return (205, 208, 215), 9 * clouds + 3 * grain
    height = int(rng.integers(7, 12))
    shifted = x + height * (y // height % 2)
    joints = (y % height < 1.5) | (shifted % (2 * height) < 1.5)
    return (140, 95, 85), -32 * joints + 5 * grain + 4 * clouds


def _second(rng: np.random.Generator, scene: str, extent: int) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """The same scenes with other colours and patterns: ripples, dunes, clumps, windows, drifts and planks."""
    y, x = np.mgrid[0:extent, 0:extent].astype(np.float32)
    clouds, grain = _clouds(rng, extent), rng.standard_normal((extent, extent))
    phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(9, 16)
    if scene == "sea":
        distance = np.hypot(y - rng.uniform(0, extent), x - rng.uniform(0, extent))
        return (55, 125, 120), 10 * np.sin(2 * np.pi * distance / period + phase) + 5 * clouds
    if scene == "sand":
        return (205, 180, 155), 12 * np.sin(2 * np.pi * (x + y) / (2 * period) + 2 * clouds) + 4 * grain
    if scene == "grass":
        return (120, 135, 60), 10 * clouds + 11 * grain
    if scene == "night":
        lit = (y % period < 3) & (x % period < 3) & (rng.random((extent, extent)) > 0.4)
        return (25, 40, 45), 50 * lit + 3 * grain
    if scene == "snow":
        return (225, 220, 228), 8 * np.sin(2 * np.pi * y / (3 * period) + 2 * clouds) + 4 * grain
    joints = (y % period < 1.5) | ((x + (y // period) * 37) % 45 < 1.5)
    return (150, 120, 90), -28 * joints + 6 * np.sin(y + 3 * clouds) + 3 * grain


_RELIEFS = dict(zip(WORLDS, (_first, _second), strict=True))


def _clouds(rng: np.random.Generator, extent: int) -> NDArray[np.float64]:
    """Smooth noise (extent, extent): random values every few pixels, with bilinear interpolation between them."""
    spacing = int(rng.integers(6, 18))
    knots = np.arange(extent // spacing + 2)
    weights = np.maximum(0, 1 - abs(np.arange(extent)[:, None] / spacing - knots))
    return weights @ rng.standard_normal((len(knots), len(knots))) @ weights.T

"""Two worlds with the same vocabulary: how colours, shapes and scenes look in each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "pink")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SCENES = ("sea", "sand", "grass", "night", "snow", "brick")
WORLDS = ("first", "second")

FloatArray = NDArray[np.float32]
Silhouette = Callable[[FloatArray, FloatArray], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Look:
    """How a world draws objects.

    Attributes:
        palette: (8, 3) float32, RGB of every colour in ``COLORS``, 0 to 255.
        big, tiny: size range in pixels of big objects and dots, as (low, high) with high excluded.
        rim: brightness of an object's outermost pixels, relative to the rest; 1 draws no outline.
        silhouettes: for every shape, whether points (v down, u right, both in -1 ... 1) belong to it.
    """

    palette: FloatArray
    big: tuple[int, int]
    tiny: tuple[int, int]
    rim: float
    silhouettes: dict[str, Silhouette]

    def silhouette(self, shape: str, size: int) -> NDArray[np.bool_]:
        """Mask of a shape, (size, size)."""
        return _drawn(self.silhouettes[shape], size)


@cache
def _drawn(silhouette: Silhouette, size: int) -> NDArray[np.bool_]:
    offset = ((np.arange(size) - (size - 1) / 2) / (size / 2)).astype(np.float32)
    v, u = np.meshgrid(offset, offset, indexing="ij")
    return silhouette(v, u)


_FIRST = Look(
    palette=np.array(
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
    ),
    big=(13, 21),
    tiny=(5, 8),
    rim=1.0,
    silhouettes={
        "circle": lambda v, u: u * u + v * v <= 1,
        "square": lambda v, u: np.maximum(abs(u), abs(v)) <= 0.86,
        "triangle": lambda v, u: (v <= 0.86) & (abs(u) <= 0.52 * (v + 0.95)),
        "cross": lambda v, u: np.minimum(abs(u), abs(v)) <= 0.32,
        "ring": lambda v, u: (u * u + v * v <= 1) & (u * u + v * v >= 0.3),
        "dot": lambda v, u: u * u + v * v <= 1,
    },
)
_SECOND = Look(
    palette=np.array(
        [
            (160, 40, 60),
            (105, 150, 60),
            (70, 105, 165),
            (215, 185, 85),
            (105, 65, 125),
            (205, 115, 65),
            (95, 175, 170),
            (225, 155, 165),
        ],
        np.float32,
    ),
    big=(15, 25),
    tiny=(6, 9),
    rim=0.45,
    silhouettes={
        "circle": lambda v, u: (u / 0.74) ** 2 + v * v <= 1,
        "square": lambda v, u: (abs(u) <= 0.95) & (abs(v) <= 0.6),
        "triangle": lambda v, u: (v >= -0.86) & (abs(u) <= 0.52 * (0.95 - v)),
        "cross": lambda v, u: np.minimum(abs(u + v), abs(u - v)) <= 0.42,
        "ring": lambda v, u: (np.maximum(abs(u), abs(v)) <= 0.92) & (np.maximum(abs(u), abs(v)) >= 0.52),
        "dot": lambda v, u: abs(u) + abs(v) <= 1.2,
    },
)
LOOKS = dict(zip(WORLDS, (_FIRST, _SECOND), strict=True))
"""The look of each world."""

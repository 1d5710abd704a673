"""Small pictures of frames, as JPEG."""

import io
import math

import numpy as np
from numpy.typing import NDArray

from vidfold import extras

LONGEST = 256
"""Pixels of the longer side of a picture at most."""
TOGETHER = 10_000_000
"""Pixels of all pictures together at most, so that a page of 1,000 frames stays small."""
QUALITY = 72


def jpegs(frames: NDArray[np.uint8]) -> list[bytes]:
    """Frames (F, H, W, 3) uint8 RGB as small JPEG files.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    image = extras.load("PIL.Image", "models")
    count, height, width = frames.shape[:3]
    scale = min(1.0, LONGEST / max(height, width), math.sqrt(TOGETHER / (count * height * width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    found = []
    for frame in frames:
        with io.BytesIO() as file:
            image.fromarray(frame).resize(size, image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
            found.append(file.getvalue())
    return found

"""A decoded frame as RGB pixels, upright and in the shape in which it is displayed."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SQUARE = 0.02
"""Pixels whose sides differ by less are square: encoders round the sizes of what they scale."""


def display_size(frame: Any, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of the upright picture; one side grows where ``aspect``, of a pixel, is not about 1."""
    if not aspect or abs(aspect - 1) < _SQUARE or not Fraction(1, 8) <= aspect <= 8:
        aspect = Fraction(1)
    width, height = round(frame.width * max(aspect, Fraction(1))), round(frame.height / min(aspect, Fraction(1)))
    return (height, width) if _turns(frame)[0] else (width, height)


def upright(frame: Any, size: tuple[int, int]) -> Pixels:
    """The frame as (H, W, 3) RGB of ``size`` (W, H), rotated and mirrored by its display matrix."""
    turned, across, down = _turns(frame)
    width, height = size[::-1] if turned else size
    picture: Pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    if turned:
        picture = picture.swapaxes(0, 1)
    return picture[:: -1 if down else 1, :: -1 if across else 1]


def _turns(frame: Any) -> tuple[bool, bool, bool]:
    """Whether x and y are swapped, and then x, and y, mirrored; an odd angle counts as the nearest quarter turn."""
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return False, False, False
    a, b, _, c, d = (int(each) for each in np.frombuffer(side, np.int32)[:5])
    turned = abs(b) > abs(a)
    return turned, (c if turned else a) < 0, (b if turned else d) < 0

"""Place labels next to points of a picture so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

Point = tuple[tuple[float, float], str, str]
"""Position in data coordinates, text, colour."""
Spot = tuple[float, float, str]
"""Position of a label: typographic points to the right and above, and which end of the text is there."""
Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""

_SIZE = 7.5
_TIED = 12.0
"""A label farther away than this, in typographic points, gets a line to its point."""


def place(axes: Any, points: Sequence[Point], side: Literal["left", "right"] | None = None) -> None:
    """Label points: in turn, each label takes the nearest spot where it covers nothing, or else the least.

    Args:
        axes: a matplotlib Axes that already holds the points and has its final limits.
        points: the points to label.
        side: place labels on this side only, spread up and down (for line ends). None: on any side.
    """
    axes.figure.canvas.draw()  # the layout determines pixel positions
    renderer = axes.figure.canvas.get_renderer()
    unit = axes.figure.dpi / 72
    pixels = [tuple(axes.transData.transform(position)) for position, *_ in points]
    taken = [(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit) for x, y in pixels]
    taken += [text.get_window_extent(renderer).extents for text in axes.texts]
    frame: Box = axes.get_window_extent(renderer).extents
    spots = _around() if side is None else _aside(side)
    for (position, text, color), (x, y) in zip(points, pixels, strict=True):
        note = axes.annotate(
            text, position, (0, 0), textcoords="offset points", fontsize=_SIZE, color=color, va="center", zorder=5
        )
        size = note.get_window_extent(renderer)
        boxes = [_box(x, y, size.width, size.height, spot, unit) for spot in spots]
        best = min(range(len(spots)), key=lambda index: _cost(boxes[index], taken, frame))
        right, up, end = spots[best]
        taken.append(boxes[best])
        note.set_position((right, up))
        note.set_horizontalalignment(end)
        if max(abs(right), abs(up)) > _TIED:
            line = {"arrowstyle": "-", "color": color, "linewidth": 0.5, "alpha": 0.7, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", position, (right, up), textcoords="offset points", zorder=1, arrowprops=line)


def _aside(side: Literal["left", "right"]) -> list[Spot]:
    away, end = (9, "left") if side == "right" else (-9, "right")
    return [(away, sign * step, end) for step in range(0, 60, 3) for sign in (1, -1)]


def _around() -> list[Spot]:
    """Right, left, above and below the point, then on growing circles."""
    spots: list[Spot] = [(6, 0, "left"), (-6, 0, "right"), (0, 9, "center"), (0, -9, "center")]
    for radius in (9, 15, 21, 28, 36, 46):
        for step in range(16):
            right, up = (radius * turn(math.pi * step / 8) for turn in (math.cos, math.sin))
            spots.append((right, up, "left" if right > 1 else "right" if right < -1 else "center"))
    return spots


def _box(x: float, y: float, width: float, height: float, spot: Spot, unit: float) -> Box:
    right, up, end = spot
    left = x + right * unit - {"left": 0, "center": width / 2, "right": width}[end]
    middle = y + up * unit
    return left, middle - height / 2, left + width, middle + height / 2


def _cost(box: Box, taken: Sequence[Box], frame: Box) -> float:
    """Pixels of other boxes that a box covers, plus its own pixels outside the frame."""
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
    # Rounded, so that differences below a pixel do not change the order of the spots.
    return round(outside + sum(_overlap(box, other) for other in taken))


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)

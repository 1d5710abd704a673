"""A picture of one fold, for papers and slides."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidfold import extras
from vidfold.show.page import Page
from vidfold.show.trace import Role, Trace

ACROSS = 8
"""Frames in a row of the picture."""
MOST = 32
"""Frames of the picture at most; of a longer video every so many."""
FORMATS = ("png", "svg")
WIDTH = 9.6
"""Inches."""

_INK, _SOFT, _TOKEN = "#16181d", "#555b66", "#0072b2"
_PALE = {Role.TOKEN: 0.0, Role.DROPPED: 0.9}
_OTHERS = 0.72
_GAP, _WORDS, _FOOT = 0.04, 0.15, 0.22
"""Space between frames and for a line of words, in widths of a frame."""


def still(page: Page, form: str, *, dpi: int = 120) -> bytes:
    """The first fold of a page as PNG or SVG: frames, and below them the same frames folded.

    Cells where a token stands are as they were, all others pale. Numbers are tokens of a frame.

    Raises:
        ValueError: another format.
        MissingExtra: matplotlib is not installed.
    """
    if form not in FORMATS:
        raise ValueError(f"a picture must be one of {', '.join(FORMATS)}, got {form!r}")
    with extras.load("matplotlib", "bench").rc_context({"svg.hashsalt": "vidfold"}), io.BytesIO() as file:
        metadata = {"Date": None} if form == "svg" else None
        _figure(page).savefig(file, format=form, dpi=dpi, metadata=metadata)
        return file.getvalue()


def format_of(path: str | Path) -> str:
    """The format that a file's name says; a ValueError for another."""
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise ValueError(f"--still must end in .{' or .'.join(FORMATS)}, got {str(path)!r}")
    return form


def _figure(page: Page) -> Any:
    """A matplotlib Figure; its unit is the width of a frame, and y points down."""
    view, film = page.views[0], page.film
    trace, counts = view.trace, view.trace.counts
    frames = np.unique(np.linspace(0, trace.frames - 1, min(MOST, trace.frames)).round().astype(int))
    tall = trace.grid[0] / trace.grid[1] if film.pixels is None else film.pixels.shape[1] / film.pixels.shape[2]
    across = min(ACROSS, len(frames))
    width, line = across * (1 + _GAP) - _GAP, 2 * (tall + _WORDS) + _GAP
    height = -(-len(frames) // across) * line + _FOOT
    # One or two frames would be larger than they need to be.
    scale = WIDTH / max(width, 4)
    figure = extras.load("matplotlib.figure", "bench").Figure(figsize=(scale * width, scale * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    big, small = 10 * scale / 1.2, 8 * scale / 1.2
    for place, frame in enumerate(frames):
        left, top = (place % across) * (1 + _GAP), (place // across) * line
        picture, roles = _picture(page, frame), trace.roles.reshape(trace.frames, *trace.grid)[frame]
        below = top + tall + 2 * _WORDS
        for image, at in ((picture, top + _WORDS), (_paled(picture, roles), below)):
            axes.imshow(image, extent=(left, left + 1, at + tall, at))
        axes.add_collection(_outlines(trace, frame, left, below, tall))
        words = {"ha": "center", "va": "center"}
        if len(film.times):
            axes.text(left + 0.5, top + _WORDS / 2, f"{film.times[frame]:.1f} s", size=small, color=_SOFT, **words)
        axes.text(left + 0.5, below - _WORDS / 2, str(counts[frame]), size=small, color=_TOKEN, weight="bold", **words)
    share = 100 * len(trace.places) / trace.full
    told = f"{trace.full} tokens → {len(trace.places)} ({share:.1f} %), {view.details}"
    axes.text(width / 2, height - _FOOT / 2, told, size=big, color=_INK, ha="center", va="center")
    axes.set(xlim=(-0.01, width + 0.01), ylim=(height, 0))
    return figure


def _picture(page: Page, frame: int) -> NDArray[np.uint8]:
    pixels, trace = page.film.pixels, page.views[0].trace
    if pixels is None:
        return np.full((16 * trace.grid[0], 16 * trace.grid[1], 3), 128, np.uint8)
    picture: NDArray[np.uint8] = pixels[frame * len(pixels) // trace.frames]
    return picture


def _paled(picture: NDArray[np.uint8], roles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its cells as pale as their roles say."""
    pale = np.array([_PALE.get(role, _OTHERS) for role in Role])[roles]
    rows, columns = (np.arange(many) * few // many for many, few in zip(picture.shape, roles.shape, strict=False))
    share = pale[rows[:, None], columns, None]
    found: NDArray[np.uint8] = (picture * (1 - share) + 255 * share).astype(np.uint8)
    return found


def _outlines(trace: Trace, frame: int, left: float, top: float, tall: float) -> Any:
    """Lines around the cells of a frame where tokens stand."""
    patches, collections = (extras.load(f"matplotlib.{name}", "bench") for name in ("patches", "collections"))
    own = trace.places[trace.places // trace.cells == frame] % trace.cells
    down, across = tall / trace.grid[0], 1 / trace.grid[1]
    cells = [
        patches.Rectangle((left + column * across, top + row * down), across, down)
        for row, column in zip(*np.divmod(own, trace.grid[1]), strict=True)
    ]
    return collections.PatchCollection(cells, facecolor="none", edgecolor=_TOKEN, linewidth=1.2)

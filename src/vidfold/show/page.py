"""The page: a video, folds of it, answers and times, as one HTML file that needs no network."""

import base64
import gzip
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidfold.show.pictures import jpegs
from vidfold.show.trace import Grid, Trace

EDGES = 4_000_000
"""Shares of all folds of a page together at most; the least are left out."""
FINE = 4096
"""Shares are told as the nearest exp(-n / FINE), which is within 0.02 %."""


@dataclass(frozen=True, eq=False)
class Film:
    """The video of a page.

    Attributes:
        title: its name.
        pixels: (P, H, W, 3) uint8 RGB, or None. Where a model reads several frames as one, P is more than F.
        times: seconds of the frames, or empty.
        facts: what else to tell, as pairs of a name and a text.
    """

    title: str
    pixels: NDArray[np.uint8] | None = None
    times: Sequence[float] = ()
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, eq=False)
class View:
    """One fold of the video.

    Attributes:
        method: its name, by which the page lists it.
        details: the method with its settings.
        asked: share of the tokens that it was asked to keep, in (0, 1]: its place on the slider.
        trace: where cells went.
        cuts: first frames of the clips after the first one.
        answer: to the question of the page, or None.
        milliseconds: stage -> time.
        notes: what else to tell.
    """

    method: str
    details: str
    asked: float
    trace: Trace
    cuts: Sequence[int] = ()
    answer: str | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Skipped:
    """What a vision tower did not compute.

    Attributes:
        method: the tower method.
        units: (F, h * w) bool, the units of every frame that were copied from an earlier one.
        grid: (h, w) of the units.
    """

    method: str
    units: NDArray[np.bool_]
    grid: Grid


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """A video and folds of it, which share its frames and its grid.

    In a notebook it is shown where it is the last value of a cell.

    Attributes:
        film: the video.
        views: at least one fold.
        question: that was asked, or None.
        unfolded: answer and times without a fold, or None.
        skipped: what the vision tower did not compute, or None.
    """

    film: Film
    views: Sequence[View]
    question: str | None = None
    unfolded: tuple[str, Mapping[str, float]] | None = None
    skipped: Skipped | None = None

    def html(self) -> str:
        """The whole page."""
        data = base64.b64encode(gzip.compress(json.dumps(self._record()).encode(), mtime=0)).decode()
        folder = resources.files("vidfold.show") / "template"
        parts = {"TITLE": html.escape(self.film.title), "DATA": data}
        for name, files in (("CSS", ["page.css"]), ("JS", ["fold.js", "draw.js", "page.js"])):
            parts[name] = "\n".join((folder / each).read_text("utf-8") for each in files)
        template = (folder / "page.html").read_text("utf-8")
        return re.sub(r"{{(\w+)}}", lambda found: parts[found[1]], template)  # in one pass: a title may hold braces

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.html(), "utf-8")

    def _repr_html_(self) -> str:
        style = "width:100%;height:720px;border:1px solid #8888"
        return f'<iframe title="vidfold" style="{style}" srcdoc="{html.escape(self.html())}"></iframe>'

    def __repr__(self) -> str:
        return f"Page({self.film.title!r}, {len(self.views)} folds): save it with save('report.html')"

    def _record(self) -> dict[str, Any]:
        """The data of the page, as JSON takes it."""
        trace, pixels, skipped = self.views[0].trace, self.film.pixels, self.skipped
        if pixels is not None:
            shown = pixels[np.arange(trace.frames) * len(pixels) // trace.frames]
            pictures = [base64.b64encode(each).decode() for each in jpegs(shown)]
        return {
            "title": self.film.title,
            "facts": list(self.film.facts),
            "question": self.question,
            "unfolded": self.unfolded and {"answer": self.unfolded[0], "milliseconds": dict(self.unfolded[1])},
            "frames": trace.frames,
            "grid": trace.grid,
            "times": list(self.film.times),
            "pictures": None if pixels is None else pictures,
            "aspect": trace.grid[1] / trace.grid[0] if pixels is None else pixels.shape[2] / pixels.shape[1],
            "fine": FINE,
            "skipped": skipped and {"method": skipped.method, "grid": skipped.grid, "units": _bits(skipped.units)},
            "views": [self._view(each) for each in self.views],
        }

    def _view(self, view: View) -> dict[str, Any]:
        trace = view.trace.largest(EDGES // len(self.views))
        notes = list(view.notes)
        if trace is not view.trace:
            told = trace.share.sum() / max(view.trace.share.sum(), 1e-9)
            notes.append(f"only the largest shares are shown, {100 * told:.1f} % of all, to keep the page small")
        fine = np.rint(-FINE * np.log(np.clip(trace.share, 1e-6, 1)))
        return {
            "method": view.method,
            "details": view.details,
            "asked": view.asked,
            "known": trace.known,
            "places": _packed(trace.places, "<u4"),
            "roles": _packed(trace.roles, "u1"),
            "steps": _packed(np.diff(trace.source, prepend=0), "<u4"),
            "token": _packed(trace.token, "<u4"),
            "share": _packed(fine, "<u2"),
            "cuts": list(view.cuts),
            "answer": view.answer,
            "milliseconds": dict(view.milliseconds),
            "notes": notes,
        }


def _packed(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def _bits(values: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(values.ravel(), bitorder="little").tobytes()).decode()

"""Pictures that are a video together: those of a folder, a numbered sequence, or an animated WebP."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidfold import extras
from vidfold.video.index import NO_KEYS, Index
from vidfold.video.upright import Pixels, display_size, upright

_KINDS = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_RATE = 25
"""Frames a second of pictures without times, as in FFmpeg."""
_NUMBER = re.compile(r"%0?(\d*)d")


class Pictures(AbstractContextManager["Pictures"]):
    """Pictures as a video; attributes and `at` as of `Decoder`."""

    def __init__(self, name: str, times: Sequence[int], base: Fraction, picture: Callable[[int], Any]) -> None:
        self.name, self.notes, self.decoded = name, list[str](), 0
        *ticks, end = times
        self.index = Index(np.array(ticks, np.int64), end, base, NO_KEYS)
        self._picture = picture

    def __exit__(self, *error: object) -> None:
        pass

    def at(self, positions: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """The picture at each of ``positions``: its tick and its pixels, (H, W, 3) uint8 RGB, of the first one's size.

        A ValueError where a picture cannot be read.
        """
        size = display_size(self._picture(0), None)
        for position in positions:
            self.decoded += 1
            yield int(self.index.ticks[position]), upright(self._picture(position), size)


def files_of(path: Path, name: str) -> Pictures | None:
    """The pictures of a folder or of a pattern such as ``img_%04d.png``, in the order of their numbers; else None."""
    if path.is_dir():
        files = sorted((each for each in path.iterdir() if each.suffix.lower() in _KINDS), key=_natural)
        missing = (
            f"{name} is a folder that holds no pictures ({', '.join(sorted(_KINDS))}); give the path of a video file"
        )
    elif _NUMBER.search(path.name) and not path.exists() and path.parent.is_dir():
        before, digits, after = _NUMBER.split(path.name, maxsplit=1)
        numbered = re.compile(f"{re.escape(before)}(\\d{{{digits or 1},}}){re.escape(after)}")
        files = sorted((each for each in path.parent.iterdir() if numbered.fullmatch(each.name)), key=_natural)
        missing = f"no file is called as {name} says; give a pattern such as 'img_%04d.png'"
    else:
        return None
    if not files:
        raise ValueError(missing)
    return Pictures(name, range(len(files) + 1), Fraction(1, _RATE), lambda position: _decoded(files[position]))


def webp_of(path: Path, name: str) -> Pictures | None:
    """The pictures of an animated WebP, which FFmpeg does not read; None if the file is no such one."""
    with path.open("rb") as file:
        head = file.read(21)
    if head[:4] + head[8:16] != b"RIFFWEBPVP8X" or not head[20] & 2:
        return None
    av, pillow = extras.load("av", "video"), extras.load("PIL.Image", "models")
    try:
        image = pillow.open(path)
        times = [0]
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            times.append(times[-1] + max(1, image.info["duration"]))
    except (OSError, EOFError, SyntaxError) as error:
        raise ValueError(f"{name} is damaged or cut short: {error}") from error

    def picture(number: int) -> Any:
        image.seek(number)
        return av.VideoFrame.from_image(image.convert("RGB"))

    return Pictures(name, times, Fraction(1, 1000), picture)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts "2.png" before "10.png"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _decoded(path: Path) -> Any:
    av = extras.load("av", "video")
    try:
        with path.open("rb") as file, av.open(file) as container:
            return next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise ValueError(
            f"a picture of {str(path.parent)!r} cannot be read: {path.name!r} is damaged or no picture"
        ) from error

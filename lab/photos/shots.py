"""Shots of the world of photographs: a photograph or real clip that fills the frame, with small pictures on it.

A shot has four views.  A photograph is seen by a moving camera (pan, zoom, shake, light); a real clip moves by itself.
Small pictures stand in corners of the frame, each on 3 x 3 cells of 32 pixels, so which cells show what is known.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from lab.photos.sources import SIDE, SPLITS, Pixels, Source, clip, picture, sources

VIEWS = 4
CELL = 32
CELLS = SIDE // CELL
"""Cells of a frame in a row."""
SMALL = 3
"""Cells of a small picture in a row."""
_ENDS = slice(0, SMALL), slice(CELLS - SMALL, CELLS)
PLACES = ("northwest", "northeast", "southwest", "southeast")
CAMERA = ("still", "left", "right", "up", "down", "in", "out", "shake")
COUNTS = {"train": 480, "search": 36, "confirm": 36, "final": 144}
"""Shots of every split."""
_SMALLS = (0, 1, 1, 2)  # numbers of small pictures, equally likely
_BORDER = 2
_CLOSEST = 0.78  # least part of a photograph's short side that a frame shows


@dataclass(frozen=True)
class Shot:
    """What a shot shows: ``wide`` fills its frames, ``small`` are (index of the place, source).

    ``mirrored``: every picture is shown as in a mirror.
    """

    split: str
    number: int
    wide: Source
    small: tuple[tuple[int, Source], ...]
    camera: str
    light: float
    mirrored: bool

    @property
    def name(self) -> str:
        """Name of the shot, which sorts within its split."""
        return f"{self.split}-{self.number:04d}"


def shot(folder: Path, split: str, number: int) -> Shot:
    """Shot ``number`` of a split, always the same for the same files."""
    available = sources(folder, split)
    rng = _rng(split, number, 0)
    wide = _drawn(rng, available.wide, ())
    small: list[tuple[int, Source]] = []
    for place in rng.permutation(len(PLACES))[: rng.choice(_SMALLS)].tolist():
        taken = (wide.group, *(source.group for _, source in small))
        small.append((place, _drawn(rng, available.small, taken)))
    camera = CAMERA[rng.integers(len(CAMERA))]
    return Shot(split, number, wide, tuple(small), camera, float(rng.uniform(-0.25, 0.25)), bool(rng.random() < 0.5))


@cache
def shots(folder: Path, split: str) -> tuple[Shot, ...]:
    """All shots of a split."""
    return tuple(shot(folder, split, number) for number in range(COUNTS[split]))


def box(place: int) -> tuple[slice, slice]:
    """Rows and columns of cells of a small picture at a place."""
    return _ENDS[place // 2], _ENDS[place % 2]


def render(shot: Shot) -> Pixels:
    """Frames of a shot, (4, 224, 224, 3) uint8 RGB."""
    rng = _rng(shot.split, shot.number, 1)
    frames = _clip_views(rng, shot.wide) if shot.wide.moves else _camera_views(rng, shot)
    way = slice(None, None, -1 if shot.mirrored else 1)
    frames = frames[:, :, way].copy()
    for place, source in shot.small:
        rows, columns = (slice(CELL * cells.start, CELL * cells.stop) for cells in box(place))
        frames[:, rows, columns] = _framed(source)[:, way]
    return frames


def alone(source: Source) -> Pixels:
    """A picture by itself, or the middle frame of a real clip, (224, 224, 3): the middle square."""
    image = clip(source)[len(clip(source)) // 2] if source.moves else picture(source)
    return np.asarray(_square(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _drawn(rng: np.random.Generator, available: tuple[Source, ...], taken: tuple[str, ...]) -> Source:
    """A source of a group that is not taken; every group is equally likely."""
    groups = sorted({source.group for source in available} - set(taken))
    group = groups[rng.integers(len(groups))]
    members = [source for source in available if source.group == group]
    return members[rng.integers(len(members))]


def _camera_views(rng: np.random.Generator, shot: Shot) -> Pixels:
    """Crops of a photograph along a straight path of the camera, with light that changes evenly."""
    image = picture(shot.wide)
    side = min(image.size)
    slack = (1 - _CLOSEST) / 2
    turn = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(shot.camera, (0, 0))
    zoom = {"in": 1.0, "out": -1.0}.get(shot.camera, 0.0)
    views = []
    for along in np.linspace(-1, 1, VIEWS):
        shake = rng.uniform(-1, 1, 2) if shot.camera == "shake" else np.zeros(2)
        size = side * (_CLOSEST + slack * (1 - zoom * along if zoom else 0.0))
        x, y = (
            extent / 2 + side * slack * (way * along + jitter)
            for extent, way, jitter in zip(image.size, turn, shake, strict=True)
        )
        corners = tuple(float(value) for value in (x - size / 2, y - size / 2, x + size / 2, y + size / 2))
        view = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=_inside(corners, image.size))
        views.append(np.asarray(view, np.float32) * (1 + shot.light * along))
    frames: Pixels = np.clip(np.stack(views), 0, 255).astype(np.uint8)
    return frames


def _clip_views(rng: np.random.Generator, source: Source) -> Pixels:
    """Consecutive frames of a real clip, the middle square of each."""
    frames = clip(source)
    start = int(rng.integers(0, max(1, len(frames) - VIEWS + 1)))
    chosen = [frames[min(start + view, len(frames) - 1)] for view in range(VIEWS)]
    return np.stack([np.asarray(_square(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for frame in chosen])


def _framed(source: Source) -> Pixels:
    """A small picture with a white border, (96, 96, 3)."""
    inner = SMALL * CELL - 2 * _BORDER
    image = np.asarray(_square(picture(source)).resize((inner, inner), Image.Resampling.BICUBIC))
    return np.pad(image, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), constant_values=255)


def _square(image: Image.Image) -> Image.Image:
    """The middle square of a picture."""
    (width, height), side = image.size, min(image.size)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _inside(corners: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The nearest box of the same size that lies within a picture."""
    left, top, right, bottom = corners
    x = max(0.0, -left) - max(0.0, right - size[0])
    y = max(0.0, -top) - max(0.0, bottom - size[1])
    return left + x, top + y, min(right + x, size[0]), min(bottom + y, size[1])


def _rng(split: str, number: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((list(SPLITS).index(split), number, purpose))

"""Photographs and real clips that the world of photographs is made of, and the split that each file belongs to.

The folder holds ``photos/imagenet/NUMBER_class.jpg``, ``photos/coco/*.jpg`` with boxes in ``photos/coco_boxes/*.txt``
(category, centre x, centre y, width, height; shares of the picture), and ``videos/``: what `lab.real.fetch` prepares.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.photos.groups import OF_CATEGORY, OF_CLASS, of_clip
from lab.real.sources import clips

SPLITS = {"train": 0.66, "search": 0.07, "confirm": 0.07, "final": 0.2}
"""Share of the files in each split."""
SIDE = 224
"""Side of a frame in pixels."""
CLIP_FRAMES = 16
_LARGE = 0.25  # least share of a COCO photograph that its largest thing covers to be what the photograph shows
_CLEAR = 72  # least side in pixels of a COCO box that is shown alone

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """A photograph, a part of one, or a real clip, which shows a thing of one group.

    ``box`` is left, top, right, bottom in pixels of the file's picture, or None for all of it.
    """

    path: Path
    group: str
    box: tuple[int, int, int, int] | None = None

    @property
    def moves(self) -> bool:
        """Whether it is a real clip."""
        return self.path.suffix != ".jpg"


@dataclass(frozen=True)
class Sources:
    """The sources of one split: ``wide`` fill a frame (photographs and clips), ``small`` are shown within one."""

    wide: tuple[Source, ...]
    small: tuple[Source, ...]

    @property
    def every(self) -> tuple[Source, ...]:
        """Each source once."""
        return tuple(dict.fromkeys((*self.wide, *self.small)))


def split_of(path: Path) -> str:
    """The split of a file, from a hash of its name."""
    place = int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16) / 2**32
    for split, share in SPLITS.items():
        if place < share:
            return split
        place -= share
    return "final"


@cache
def sources(folder: Path, split: str) -> Sources:
    """All sources of a split; ``ValueError`` if the folder or the split is not there."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    photographs = sorted(folder.glob("photos/imagenet/*.jpg"))
    if not photographs:
        raise ValueError(f"{folder} holds no photos/imagenet/*.jpg")
    named = [Source(path, OF_CLASS[name]) for path in photographs if (name := path.stem.partition("_")[2]) in OF_CLASS]
    wide, small = list(named), list(named)
    for path in sorted(folder.glob("photos/coco/*.jpg")):
        whole, parts = _coco(path)
        wide += whole
        small += parts
    wide += _clips(folder)
    chosen = [tuple(source for source in kind if split_of(source.path) == split) for kind in (wide, small)]
    return Sources(*chosen)


def _coco(path: Path) -> tuple[list[Source], list[Source]]:
    """The photograph as a whole if one thing fills much of it and no other group is large; its large things alone."""
    boxes = path.parent.parent / "coco_boxes" / f"{path.stem}.txt"
    lines = boxes.read_text().splitlines() if boxes.exists() else []  # a photograph without things has no file
    with Image.open(path) as image:
        width, height = image.size
    groups: dict[str, float] = {}
    parts = []
    for line in lines:
        category, x, y, w, h = (float(part) for part in line.split())
        group = OF_CATEGORY.get(int(category))
        if group is None:
            continue
        groups[group] = max(groups.get(group, 0.0), w * h)
        if min(w * width, h * height) >= _CLEAR:
            sides = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            left, top, right, bottom = (round(side) for side in sides)
            parts.append(Source(path, group, (max(0, left), max(0, top), min(width, right), min(height, bottom))))
    large = [group for group, share in groups.items() if share >= _LARGE]
    return [Source(path, group) for group in large if len(large) == 1], parts


def _clips(folder: Path) -> list[Source]:
    """The real clips of one shot that are there, of a clear group."""
    found = []
    for each in clips():
        path, group = folder / "videos" / each.file, of_clip(each.objects)
        if group is not None and not each.cuts and path.exists():
            found.append(Source(path, group))
    return found


@cache
def picture(source: Source) -> Image.Image:
    """The photograph, or its box."""
    with Image.open(source.path) as image:
        return image.convert("RGB").crop(source.box or (0, 0, *image.size))


@cache
def clip(source: Source) -> tuple[Image.Image, ...]:
    """``CLIP_FRAMES`` frames of a real clip, evenly spread, short side at most 288."""
    from vidfold.video import sample

    frames = np.asarray(sample(str(source.path), CLIP_FRAMES).pixels)
    images = [Image.fromarray(frame) for frame in frames]
    for image in images:
        image.thumbnail((512, 512))
    return tuple(images)

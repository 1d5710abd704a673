"""Videos encoded once: a file for every video, found by the content of the video and the fingerprint of the tower."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidfold.bench.real.tower import Tower
from vidfold.replacing import replacing
from vidfold.tokens import Grid, VideoTokens
from vidfold.video import sample

FORM = "1"
"""Form of the files; other forms are encoded again."""
VIEWS = 4
"""Pictures of every video that are not folded: regions of them are looked for among the folded tokens."""
CROP = 0.75
"""Side of their part of the frame; it lies in each corner in turn."""
CORNERS = ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))


@dataclass(frozen=True, eq=False)
class Encoded:
    """One video as a tower sees it.

    Attributes:
        tokens: its frames, evenly spaced; only the square in the middle of each.
        views: (V, N, D) features of further pictures: a part of the frame halfway between two of those frames.
        moments: (V,) position of the views among the frames, such as 2.5 for halfway from frame 2 to frame 3.
        corners: (V, 2) top and left of the views, as shares of the side; each is `CROP` of it wide.
    """

    tokens: VideoTokens
    views: Tensor
    moments: Tensor
    corners: Tensor


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoded(tower: Tower, path: Path, frames: int, cache: Path, digest: str | None = None) -> Encoded:
    """A video, from the cache or encoded now and put there.

    Args:
        tower: encodes it.
        path: a video file.
        frames: number of frames; a shorter video gives all it has.
        cache: folder.
        digest: `sha256` of the file, if it is known.

    Raises:
        ValueError: a video that cannot be read, or a file of the cache that is damaged.
        OSError: the cache cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    place = cache / f"{tower.fingerprint}-{frames}-{FORM}" / f"{digest or sha256(path)}.safetensors"
    if not place.is_file():
        content = save(_tensors(_encode(tower, path, frames)))
        with replacing(place) as file:
            file.write(content)
    try:
        return _restored(load(place.read_bytes()))
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{str(place)!r} is damaged ({error}): delete it and run again") from error


def _encode(tower: Tower, path: Path, frames: int) -> Encoded:
    found = sample(path, max(1, 2 * frames - 1))
    between = len(found) == 2 * frames - 1 and frames > 1
    if not between:
        found = sample(path, frames)
    pixels = middle(found.pixels)
    kept = pixels[::2] if between else pixels
    # Every second frame is left for the views; a short video has none to spare, and shows parts of its own frames.
    last = len(kept) - (2 if between else 1)
    moments = np.linspace(0, last, VIEWS).round() + (0.5 if between else 0.0)
    side = pixels.shape[1]
    part = round(CROP * side)
    corners = np.array(CORNERS) * (side - part)
    views = [
        pixels[int(2 * moment) if between else int(moment), top : top + part, left : left + part]
        for moment, (top, left) in zip(moments, corners.round().astype(int), strict=True)
    ]
    times = torch.from_numpy(found.timestamps[::2] if between else found.timestamps).float()
    return Encoded(
        replace(tower(kept), timestamps=times, check=False),
        tower(np.stack(views)).features,
        torch.from_numpy(moments).float(),
        torch.from_numpy(corners.round() / side).float(),
    )


def middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The square in the middle of frames (F, H, W, ...): every tower sees it all, whatever its processor crops."""
    height, width = pixels.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _tensors(video: Encoded) -> dict[str, Tensor]:
    own = {name: each for name, each in vars(video.tokens).items() if isinstance(each, Tensor)}
    found = own | {"views": video.views, "moments": video.moments, "corners": video.corners}
    halves = {name: _half(found[name]) for name in ("features", "keys", "views")}
    return found | halves | {"grid": torch.tensor(video.tokens.grid)}


def _half(values: Tensor) -> Tensor:
    """Values in half precision, if they fit."""
    fits = values.abs().max() <= torch.finfo(torch.float16).max
    return (values.half() if fits else values).contiguous()


def _restored(found: dict[str, Tensor]) -> Encoded:
    height, width = found.pop("grid").tolist()
    grid: Grid = (height, width)
    views, moments, corners = (found.pop(name).float() for name in ("views", "moments", "corners"))
    fields: dict[str, Any] = {name: value.float() for name, value in found.items()}
    return Encoded(VideoTokens(grid=grid, check=False, **fields), views, moments, corners)

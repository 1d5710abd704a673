"""Draw a clip of the small world before and after folding, and ask the embedded model about it.

python examples/film_strip.py docs/pictures/film_strip.png
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

from vidfold import AOT, Reduction, models, tiny
from vidfold.app.asking import ask, processed
from vidfold.app.loading import load
from vidfold.app.reading import timed

QUESTION = "which big color appears last?"
FOLD = AOT(retention=0.10)
SCALE = 2
"""Pixels of the picture a pixel of the clip."""
FADED = 0.14
"""What is left of the colour of a tile that was folded into another."""
GAP = 10
"""White columns between frames."""

Picture = NDArray[np.float64]


def tiles(frames: NDArray[np.uint8], grid: tuple[int, int]) -> Picture:
    """Frames (F, H, W, 3) as tiles with white edges: (F, rows, columns, h, w, 3), from 0 to 1."""
    large = np.repeat(np.repeat(frames, SCALE, axis=1), SCALE, axis=2) / 255
    count, height, width, _ = large.shape
    rows, columns = grid
    cut = large.reshape(count, rows, height // rows, columns, width // columns, 3).swapaxes(2, 3).copy()
    cut[..., -1, :, :] = cut[..., :, -1, :] = 1
    return cut


def strip(cut: Picture) -> Picture:
    """The frames of tiles side by side."""
    count, rows, columns, height, width, _ = cut.shape
    frames = cut.swapaxes(2, 3).reshape(count, rows * height, columns * width, 3)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=1)
    return np.concatenate(list(padded), axis=1)[:, :-GAP]


def folded(cut: Picture, reduction: Reduction) -> tuple[Picture, Picture]:
    """The strip with all tiles faded but those that stand for others, and these in one row."""
    columns = cut.shape[2]
    kept = np.zeros(cut.shape[:3], dtype=bool)
    cells = reduction.cells.numpy()
    kept[reduction.frames.numpy(), cells // columns, cells % columns] = True
    shown = np.where(kept[..., None, None, None], cut, 1 - FADED * (1 - cut))
    return strip(shown), np.concatenate(list(cut[kept]), axis=1)


def draw(path: Path) -> None:
    """Fold the clip, ask about it unfolded and folded, and write the picture."""
    loaded = load("tiny", device="cpu")
    clip = tiny.render(seed=1_000_000_004)
    frames = timed(clip.frames, 1.0)
    (video,) = models.encode(loaded.model, processed(loaded, frames, [QUESTION]))
    reduction = FOLD(video)
    answers = [ask(loaded, frames, QUESTION, method) for method in (None, FOLD)]
    cut = tiles(clip.frames, video.language_grid)
    before, (after, ribbon) = strip(cut), folded(cut, reduction)
    told = [
        f"{reduction.full} tokens: the model's answer is “{answers[0].text}”",
        f"AOT keeps {len(reduction)}; each stands for those that are like it, and near",
        f"{len(reduction)} tokens, all that the language model reads: the answer is “{answers[1].text}”",
    ]
    _write(path, [before, after, ribbon], told)
    print(f"{QUESTION}", *told, f"wrote {path}", sep="\n")


def _write(path: Path, pictures: list[Picture], told: list[str]) -> None:
    space, across = 48, pictures[0].shape[1]
    heights = [space + picture.shape[0] + space // 2 for picture in pictures]
    figure: Any = pyplot.figure(figsize=(across / 100, (sum(heights) + space) / 100), dpi=100)
    top = sum(heights) + space
    figure.text(0, 1 - 32 / top, f"“{QUESTION}”", fontsize=23, weight="bold")
    used = space
    for picture, text, height in zip(pictures, told, heights, strict=True):
        figure.text(0, 1 - (used + space - 11) / top, text, fontsize=20)
        figure.figimage(picture, 0, top - used - space - picture.shape[0], origin="upper")
        used += height
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    matplotlib.use("agg")
    draw(Path(sys.argv[1]))

"""Are objects in photographs still named right? ``python -m lab.real.objects --data OUT --output benchmarks/real``.

OUT is the folder that ``lab.real.fetch`` prepared. Every photograph with a mask is a video of one frame. A cell of the
grid belongs to an object if its mask covers more than half of it; objects of fewer than three cells are left out. Every
such cell is read from the folded token nearest to it in the picture, which CLIP names among the 80 kinds of object.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from vidfold import VideoTokens, extras
from vidfold.app.progress import Progress
from vidfold.app.writing import write_csv
from vidfold.bench.real.cache import middle
from vidfold.bench.real.names import Names
from vidfold.bench.real.tower import Tower
from vidfold.bench.settings import FULL, Fold, Setting, exact_methods

KINDS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
"""Numbers in the masks of the 80 kinds of object, in the order of the names; other numbers are no objects."""
RETENTIONS = (0.25, 0.1, 0.05, 0.02)
CELLS = 3
COLUMNS = ("method", "retention", "photographs", "mean", "error", "gap", "gap_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    masks = sorted((options.data / "photos" / "coco_masks").glob("*.png"))
    if not masks:
        parser.error(f"--data {str(options.data)!r} holds no photos/coco_masks: run python -m lab.real.fetch first")
    tower = Tower.load(str(options.data / "clip-vit-base-patch16"))
    texts = options.data / "text"
    told = json.loads((texts / "coco_stuff171_classes.json").read_text())
    vectors = torch.from_numpy(np.load(texts / "coco_stuff171_multi.npy")).float()
    assert len(vectors) == len(told)
    names = Names(tower, normalize(vectors[: len(KINDS)], dim=-1))
    settings = [FULL, *(Setting(name, share) for share in RETENTIONS for name in exact_methods())]
    right: dict[Setting, list[float]] = {setting: [] for setting in settings}
    watch = Progress("photograph")
    for place, mask in enumerate(masks):
        tokens, objects = _photo(tower, mask)
        for setting in settings if objects else ():
            right[setting].append(_named_right(tokens, objects, names, setting, place))
        watch(place + 1, len(masks))
    write_csv(options.output / "objects.csv", COLUMNS, _rows(right))


def _photo(tower: Tower, mask: Path) -> tuple[VideoTokens, list[tuple[int, Tensor]]]:
    """A photograph as tokens, and its objects: number of the name, and the cells (C,)."""
    image = extras.load("PIL.Image", "models")
    pixels = np.array(image.open(mask.parents[1] / "coco" / f"{mask.stem}.jpg").convert("RGB"))
    numbers = torch.from_numpy(middle(np.array(image.open(mask))[None])[0])
    tokens = tower(middle(pixels[None]))
    return tokens, list(_objects(numbers, tokens))


def _objects(numbers: Tensor, tokens: VideoTokens) -> Iterator[tuple[int, Tensor]]:
    height, width = tokens.grid
    for name, number in enumerate(KINDS):
        inside = torch.nn.functional.interpolate((numbers == number).float()[None, None], (height * 16, width * 16))
        cells = (avg_pool2d(inside, 16).flatten() > 0.5).nonzero()[:, 0]
        if len(cells) >= CELLS:
            yield name, cells


def _named_right(
    tokens: VideoTokens, objects: list[tuple[int, Tensor]], names: Names, setting: Setting, seed: int
) -> float:
    """Share of an object's cells that are named right, mean over objects."""
    reduction = Fold.of(setting, tokens, seed).reduction
    assert reduction is not None
    width = tokens.grid[1]
    best = names.best(names.vectors(reduction.tokens))
    at = torch.stack([reduction.cells // width, reduction.cells % width], 1).float()
    shares = []
    for name, cells in objects:
        places = torch.stack([cells // width, cells % width], 1).float()
        nearest = torch.cdist(places, at).argmin(1)
        shares.append(float((best[nearest] == name).float().mean()))
    return float(np.mean(shares))


def _rows(right: dict[Setting, list[float]]) -> Iterator[dict[str, str]]:
    for setting, values in right.items():
        gap = np.array(values) - np.array(right[FULL])
        numbers = (np.mean(values), _error(np.array(values)), gap.mean(), _error(gap))
        told = (setting.method, f"{setting.retention:g}", str(len(values)), *(f"{number:.4f}" for number in numbers))
        yield dict(zip(COLUMNS, told, strict=True))


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()

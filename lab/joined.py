"""Real clips one after another: how many frames to take for a fixed number of tokens, and which.

    .venv/bin/python -m lab.joined --data DATA --tower DATA/clip-vit-base-patch16 --cache CACHE --output OUT

Eight clips of one shot each, of 1 to 16 frames, that show different things: 64 frames whose cuts are known. Some frames
are taken, and AOT folds the tower's tokens of them, 49 a frame, to a fixed number. Recall of a shot is the share of all
its tokens, also of frames that were not taken, to which a folded token of the same shot has a cosine of 0.9.

Then every thing is asked for by its name, and frames are taken by their likeness to it: are they of the right shot?
DATA is what `lab.real.fetch` prepared; of the text side of its CLIP it has the vectors of 171 names alone.
"""

import argparse
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from lab.budget import report
from lab.real.sources import clips
from vidfold.app.progress import Progress
from vidfold.app.relevance import fitting
from vidfold.app.tables import table
from vidfold.bench.real.cache import middle
from vidfold.bench.real.measures import Subject, shots
from vidfold.bench.scores import Estimate
from vidfold.reducers import AOT
from vidfold.tokens import Pooling, VideoTokens
from vidfold.video import sample
from vidfold.video.choosing import CHOOSERS, WAYS, thumbnail

LENGTHS = (1, 2, 3, 5, 8, 13, 16, 16)
"""Frames of the shots, in another order every time."""
FRAMES = (4, 8, 16, 32, 64)
TOKENS = (32, 64, 128, 256)
GRID = (7, 7)
QUERY = "query"
FEW = (2, 4, 8, 16)
"""Frames that are taken by likeness to a name."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip of one shot.

    Attributes:
        name: of what it shows, beside people.
        objects: all that it shows.
        looks: (F, 192), thumbnails.
        vectors: (F, 512), of length 1, as CLIP compares them with text.
        tokens: (F, 49, 768).
    """

    name: str
    objects: tuple[str, ...]
    looks: NDArray[np.float64]
    vectors: NDArray[np.float64]
    tokens: Tensor


def seen(data: Path, tower: str, cache: Path, names: list[str]) -> list[Seen]:
    """Clips of one shot, not too short, that show something with a name; each is encoded once."""
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection.from_pretrained(tower).eval()
    processor = CLIPImageProcessor.from_pretrained(tower)
    cache.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in clips() if not each.cuts and {*each.objects} & {*names} - {"person"}]
    found, progress = list[Seen](), Progress("encoding clip")
    for done, each in enumerate(chosen):
        path = cache / f"{each.sha256}.pt"
        if not path.exists():
            pixels = middle(sample(data / "videos" / each.file, max(LENGTHS)).pixels)
            with torch.inference_mode():
                output = model(**processor(images=list(pixels), return_tensors="pt"), output_hidden_states=True)
            cells = Pooling.AVERAGE(output.hidden_states[-2][:, 1:], (14, 14)).half()
            looks = np.stack([thumbnail(picture) for picture in pixels])
            torch.save({"looks": looks, "vectors": output.image_embeds.clone(), "tokens": cells.clone()}, path)
        parts = torch.load(path, weights_only=False)
        name = next(one for one in each.objects if one in names and one != "person")
        vectors = normalize(parts["vectors"].double(), dim=-1).numpy()
        if len(vectors) == max(LENGTHS):
            found.append(Seen(name, each.objects, parts["looks"], vectors, parts["tokens"].float()))
        progress(done + 1, len(chosen))
    return found


def together(every: list[Seen], number: int) -> tuple[list[Seen], list[int]]:
    """Clips that show different things, and how many frames of each."""
    rng = np.random.default_rng(number)
    chosen = list[Seen]()
    for place in rng.permutation(len(every)):
        one = every[place]
        if not any(one.name in other.objects or other.name in one.objects for other in chosen):
            chosen.append(one)
    lengths = [LENGTHS[place] for place in rng.permutation(len(LENGTHS))]
    return [replace_length(one, count) for one, count in zip(chosen, lengths, strict=False)], lengths


def replace_length(one: Seen, count: int) -> Seen:
    """The first frames of a clip."""
    return replace(one, looks=one.looks[:count], vectors=one.vectors[:count], tokens=one.tokens[:count])


def taken(parts: list[Seen], way: str, frames: int) -> NDArray[np.int64]:
    """Places of the frames that a way takes of joined clips."""
    looks = np.concatenate([each.looks for each in parts])
    if way == "even" or frames == len(looks):
        return np.linspace(0, len(looks) - 1, frames).astype(np.int64)
    return CHOOSERS[way].choose(looks, np.ones(len(looks)), frames)


def recalls(parts: list[Seen], ends: NDArray[np.int64]) -> dict[tuple[str, int, int], float]:
    """Mean recall of the shots by way, frames and tokens."""
    whole = VideoTokens(torch.cat([each.tokens for each in parts]), GRID, Pooling.NONE)
    measured = shots(Subject(whole, tuple(ends[:-1].tolist())))
    units, found = normalize(whole.pooled().flatten(0, 1), dim=-1), {}
    for way, frames, tokens in itertools.product(WAYS, FRAMES, TOKENS):
        if (way != "even" and frames == len(whole.features)) or tokens > frames * whole.cells:
            continue
        places = torch.from_numpy(taken(parts, way, frames))
        reduction = AOT(tokens=tokens)(replace(whole, features=whole.features[places]))
        reduction = replace(reduction, frames=places[reduction.frames], full=len(units))
        similar = units @ normalize(reduction.tokens, dim=-1).T
        found[way, frames, tokens] = measured(reduction, similar)["joined_shot_recall"]
    return found


def likeness(
    parts: list[Seen], ends: NDArray[np.int64], texts: Mapping[str, Any]
) -> dict[tuple[str, int], list[tuple[float, float, float]]]:
    """By way and frames, for every thing: a frame shows it, the share of frames that do, the share of shots taken."""
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    vectors = np.concatenate([each.vectors for each in parts])
    for frames, (shot, one) in itertools.product(FEW, enumerate(parts)):
        for way in (*WAYS, QUERY):
            if way == QUERY:
                places = fitting(vectors, vectors @ texts[one.name], np.ones(len(vectors)), frames)
            else:
                places = taken(parts, way, frames)
            of = np.searchsorted(ends, places, side="right")
            row = (float((of == shot).any()), float((of == shot).mean()), len(np.unique(of)) / len(parts))
            found.setdefault((way, frames), []).append(row)
    return found


def mean(values: list[float]) -> Estimate:
    """Mean with its error over joined videos."""
    each = np.array(values)
    return Estimate(each / len(each), (each - each.mean()) / len(each), np.full(len(each), 1 / len(each)))


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tower", required=True, help="a CLIP of 224 pixels and patches of 16")
    parser.add_argument("--cache", type=Path, required=True, help="folder for encoded clips")
    parser.add_argument("--videos", type=int, default=40, help="joined videos (default: 40)")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = json.loads((options.data / "text" / "coco_stuff171_classes.json").read_text())
    vectors = np.load(options.data / "text" / "coco_stuff171_multi.npy").astype(float)
    texts = dict(zip(names, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))
    every = seen(options.data, options.tower, options.cache, names)
    kept: dict[tuple[str, int, int], list[float]] = {}
    found: dict[tuple[str, int], list[Any]] = {}
    progress = Progress("joined video")
    for number in range(options.videos):
        parts, lengths = together(every, number)
        ends = np.cumsum(lengths)
        for key, value in recalls(parts, ends).items():
            kept.setdefault(key, []).append(value)
        for named, rows in likeness(parts, ends, texts).items():
            found.setdefault(named, []).append(np.mean(rows, 0))
        progress(number + 1, options.videos)
    print(f"{len(every)} clips: {', '.join(sorted({each.name for each in every}))}\n")
    cells = {key: mean(values) for key, values in kept.items()}
    report(cells, options.output, "joined", options.videos, f"recall of shots of {sum(LENGTHS)}")
    lines: list[tuple[str, ...]] = [("frames", "way", "shows it, %", "frames that show it, %", "shots taken, %")]
    for (way, frames), values in found.items():
        columns = (mean([float(row[part]) for row in values]) for part in range(3))
        lines.append((str(frames), way, *(f"{100 * each.value:.1f} ± {100 * each.error:.1f}" for each in columns)))
    (options.output / "joined-ways.txt").write_text(table(lines) + "\n")
    print(table(lines))


if __name__ == "__main__":
    main()

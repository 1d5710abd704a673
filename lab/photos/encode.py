"""Encode the shots of the world of photographs with a frozen tower: ``python -m lab.photos.encode --help``.

One file a shot, so an interrupted run continues where it ended.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lab.photos.shots import COUNTS, Shot, alone, render, shots
from lab.photos.sources import sources
from vidfold.bench.real.tower import Tower
from vidfold.tokens import Pooling

GRID, POOLING = (14, 14), Pooling.AVERAGE
"""The tower's grid, and how it is pooled for the reader."""
LAYER = -2
"""Hidden state that the reader reads: the last but one, as in LLaVA."""
SEEN = ("features", "shallow", "deep", "keys")


def seen(tower: Tower, frames: NDArray[np.uint8]) -> dict[str, Tensor]:
    """fp16 values by name for frames (F, 224, 224, 3): features (F, P, D), shallow and deep (F, P), keys (F, P, E)."""
    tokens = tower(frames)
    return {name: getattr(tokens, name).half() for name in SEEN}


def order(folder: Path) -> Iterator[Shot]:
    """All shots, such that every beginning holds the same share of every split."""
    everything = [each for split in COUNTS for each in shots(folder, split)]
    yield from sorted(everything, key=lambda each: (each.number + 0.5) / COUNTS[each.split])


def encode(folder: Path, tower: str, out: Path, part: int = 0, parts: int = 1, dtype: str = "bfloat16") -> None:
    """Writes ``SPLIT-NUMBER.pt`` for every shot to ``out``; shots that are there are skipped.

    Of several processes each takes its own part first, and then what the others have not yet done.
    """
    out.mkdir(parents=True, exist_ok=True)
    description = {"tower": Path(tower).name, "layer": LAYER, "dtype": dtype}
    settings = out / "settings.json"
    if settings.exists() and json.loads(settings.read_text()) != description:
        raise ValueError(
            f"{out} holds shots encoded with {settings.read_text()}, not {description}: give another --out"
        )
    settings.write_text(json.dumps(description))
    numbered = sorted(enumerate(order(folder)), key=lambda each: (each[0] - part) % parts)
    paths = {out / f"{each.name}.pt": each for _, each in numbered}
    loaded = Tower.load(tower, LAYER, dtype=dtype)
    began, done = time.monotonic(), 0
    for path, each in paths.items():
        if path.exists():
            continue
        partial = path.with_suffix(f".partial{part}")
        torch.save(seen(loaded, render(each)), partial)
        partial.replace(path)
        done += 1
        if done % 20 == 0:
            print(f"{done} shots done, {(time.monotonic() - began) / done:.2f} s a shot", flush=True)
    print(f"{len(paths)} shots in {out}")


def encode_alone(folder: Path, tower: str, out: Path, split: str, dtype: str) -> None:
    """Writes ``alone-SPLIT.pt``: pooled features (n, 49, D) fp16 of every source of a split by itself."""
    path = out / f"alone-{split}.pt"
    if path.exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    loaded = Tower.load(tower, LAYER, dtype=dtype)
    parts = [POOLING(loaded(alone(each)[None]).features, GRID).half() for each in sources(folder, split).every]
    torch.save(torch.cat(parts), path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)
    print(f"{len(parts)} sources of {split} by themselves", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.photos.encode", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that lab.real.fetch prepared")
    parser.add_argument("--tower", required=True, help="folder or hub id, e.g. openai/clip-vit-base-patch16")
    parser.add_argument("--out", type=Path, required=True, help="folder for the encoded shots")
    parser.add_argument("--part", type=int, default=0, help="which part of the work this process does")
    parser.add_argument("--parts", type=int, default=1, help="into how many parts the work is divided")
    parser.add_argument("--only", choices=tuple(COUNTS), help="only the sources of this split by themselves")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    chosen = parser.parse_args(arguments)
    try:
        for split in (chosen.only,) if chosen.only else COUNTS:
            encode_alone(chosen.data, chosen.tower, chosen.out, split, chosen.dtype)
        if not chosen.only:
            encode(chosen.data, chosen.tower, chosen.out, chosen.part, chosen.parts, chosen.dtype)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

"""How many frames to take for a fixed number of tokens, of clips of photographs.

    .venv/bin/python -m lab.photos.budget --data DATA --encoded SHOTS --reader reader.pt --output OUT

Clips of 16 frames, in which a shot lasts one to four. Some frames are taken, evenly or by what they show, AOT folds
them to the same number of tokens, and a reader of the tower's tokens answers the questions about the whole clip.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from lab.budget import Cells, report, taken
from lab.photos.clips import Clip, compose
from lab.photos.measure import learnt, video
from lab.photos.pool import Pool
from lab.photos.questions import KINDS
from lab.photos.reader import ASK, PLAN, Reader, packed, slots
from lab.photos.report import Answers
from lab.photos.shots import render
from lab.photos.train import shuffled
from vidfold.app.progress import Progress
from vidfold.reducers import AOT
from vidfold.replacing import replacing
from vidfold.tokens import VideoTokens
from vidfold.video.choosing import WAYS

LENGTH = 16
FRAMES = (2, 4, 8, 16)
TOKENS = (8, 16, 32, 64, 128)
SETTINGS = tuple(
    (way, frames, tokens)
    for way, frames, tokens in product(WAYS, FRAMES, TOKENS)
    if (way == "even" or frames < LENGTH) and tokens <= frames * 49
)


def pixels(pool: Pool, shown: Clip) -> np.ndarray:
    """Frames of a clip, (F, 224, 224, 3) uint8."""
    parts = [render(pool.shots[part.scene.shot])[part.first : part.first + part.views] for part in shown.parts]
    return np.concatenate(parts)


def some(whole: VideoTokens, places: np.ndarray) -> VideoTokens:
    """Some frames of a video."""
    index = torch.from_numpy(places)
    return replace(whole, features=whole.features[index], shallow=None, deep=None, keys=None)


def one(pool: Pool, reader: Reader, number: int) -> dict[str, np.ndarray]:
    """Counts of one clip: ``right`` (settings, kinds) of the reader, and ``asked`` (kinds,)."""
    right, asked = np.zeros((len(SETTINGS), len(KINDS)), np.uint8), np.zeros(len(KINDS), np.uint8)
    columns = [KINDS.index(kind) for kind in PLAN]
    shown = compose(pool.shots, pool.split, number, LENGTH)
    whole, frames = video(pool, shown), pixels(pool, shown)
    plan = slots(shuffled(pool, shown))
    words, about = packed(plan)
    ids, pictures = torch.tensor(words)[None], pool.pictures(about)[None]
    valid = torch.tensor([question is not None for question in plan])
    np.add.at(asked, columns, valid.numpy())
    places = {key: taken(frames, key[1], key[0]) for key in {setting[:2] for setting in SETTINGS}}
    for row, (way, count, tokens) in enumerate(SETTINGS):
        reduction = AOT(tokens=tokens)(some(whole, places[way, count]))
        true = (reader.answer(reduction.tokens[None].half(), ids, pictures)[0] == ids[0, ASK + 1]) & valid
        np.add.at(right[row], columns, true.numpy())
    return {"right": right, "asked": asked}


def measured(pool: Pool, reader: Reader, clips: int, ranked: tuple[str, ...], folder: Path) -> Answers:
    """Right answers of a reader for all `SETTINGS`; every clip is a file in the folder, so that a run continues."""
    folder.mkdir(parents=True, exist_ok=True)
    progress, rows = Progress("clip"), list[dict[str, np.ndarray]]()
    for number in range(clips):
        path = folder / f"{pool.split}-{number:04d}.npz"
        if not path.exists():
            counts = one(pool, reader, number)
            with replacing(path) as file:
                np.savez(file, right=counts["right"], asked=counts["asked"])
        rows.append(dict(np.load(path)))
        progress(number + 1, clips)
    right = np.stack([each["right"] for each in rows], 1)[None]
    asked = np.stack([each["asked"] for each in rows])
    named = tuple((f"{way} {frames}", float(tokens)) for way, frames, tokens in SETTINGS)
    nothing = np.zeros((len(SETTINGS), clips)), np.zeros((len(SETTINGS), clips, 3), np.float32)
    return Answers(("reader",), named, right, asked, *nothing, ranked)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m lab.photos.budget", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that lab.real.fetch prepared")
    parser.add_argument("--encoded", type=Path, required=True, help="folder that lab.photos.encode wrote")
    parser.add_argument("--reader", type=Path, required=True, help="reader.pt")
    parser.add_argument("--split", default="final", help="split of the clips (default: final)")
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = Pool(options.data, options.encoded, options.split)
    ranked = learnt([options.reader.parent])
    folder = options.output / "clips"
    found = measured(pool, Reader.load(options.reader), options.clips, ranked, folder)
    cells: Cells = {key: found.estimate(0, row) for row, key in enumerate(SETTINGS)}
    print(f"kinds: {', '.join(ranked)}; {found.asked.sum()} questions\n")
    report(cells, options.output, f"photos-{options.split}", options.clips, f"right answers of {LENGTH}")


if __name__ == "__main__":
    main()

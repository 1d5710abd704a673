"""Fold clips of photographs with every method and ask the readers: ``python -m lab.photos.measure --help``.

``fold`` writes one file a clip, ``answer`` reads them; an interrupted run continues.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lab.photos.clips import LENGTHS, Clip, compose
from lab.photos.encode import GRID, POOLING
from lab.photos.pool import Pool
from lab.photos.questions import KINDS
from lab.photos.reader import ASK, PLAN, Reader, packed, slots
from lab.photos.report import MEASURES, Answers, write
from lab.photos.train import LEARNT, shuffled
from lab.trials import DEFAULT, TRIALS, Trial
from vidfold.bench.features import features
from vidfold.bench.settings import FULL, Fold, Setting, exact_methods
from vidfold.tokens import VideoTokens

LEAST = 0.70
"""Least accuracy with all tokens, on the search split and of every reader, of the kinds that methods are ranked by."""
RETENTIONS = (0.50, 0.25, 0.20, 0.15, 0.10, 0.05, 0.02)


def settings(methods: Sequence[str], retentions: Sequence[float] = RETENTIONS) -> list[Setting]:
    """All tokens, then every method at every retention."""
    return [FULL, *(Setting(method, share) for share, method in product(retentions, methods))]


def tried(trials: Mapping[str, Trial], retentions: Sequence[float]) -> list[Setting]:
    """All tokens, then every trial (`lab.trials`) at every retention."""
    each = product(retentions, trials.items())
    return [FULL, *(Setting(name, share, kind(retention=share, **fields)) for share, (name, (kind, fields)) in each)]


def clip(pool: Pool, number: int) -> Clip:
    """Clip ``number`` of those that are measured."""
    return compose(pool.shots, pool.split, number, LENGTHS[number % len(LENGTHS)])


def video(pool: Pool, shown: Clip) -> VideoTokens:
    """What the tower says of a clip."""
    parts = []
    for part in shown.parts:
        seen = pool.seen(part.scene.shot)
        parts.append({name: value[part.first : part.first + part.views].float() for name, value in seen.items()})
    features, shallow, deep, keys = (
        torch.cat([part[name] for part in parts]) for name in ("features", "shallow", "deep", "keys")
    )
    return VideoTokens(features, GRID, POOLING, shallow=shallow, deep=deep, keys=keys)


def fold(pool: Pool, chosen: Sequence[Setting], clips: range, out: Path) -> None:
    """Writes ``NUMBER.pt`` for every clip: folded tokens (K, D) fp16 and (error, coverage, transport) by setting."""
    out.mkdir(parents=True, exist_ok=True)
    for number in clips:
        path = out / f"{number:04d}.pt"
        found: dict[tuple[str, float], tuple[Tensor, tuple[float, ...]]] = torch.load(path) if path.exists() else {}
        missing = [each for each in chosen if (each.method, each.retention) not in found]
        if not missing:
            continue
        tokens = video(pool, clip(pool, number))
        for setting in missing:
            reduction = Fold.of(setting, tokens, number).reduction
            assert reduction is not None
            measured = features(tokens, reduction)
            measures = tuple(measured[name] for name in MEASURES)
            found[setting.method, setting.retention] = reduction.tokens.half(), measures
        torch.save(found, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)
        print(f"folded {number - clips.start + 1}/{len(clips)}", flush=True)


def learnt(folders: Sequence[Path]) -> tuple[str, ...]:
    """The kinds that methods are ranked by, of readers in these folders."""
    found = [json.loads((folder / LEARNT).read_text())["1"] for folder in folders]
    return tuple(kind for kind in KINDS if all(each[kind] >= LEAST for each in found))


def answers(
    pool: Pool,
    readers: dict[str, Reader],
    chosen: Sequence[Setting],
    clips: range,
    folded: Path,
    ranked: tuple[str, ...],
) -> Answers:
    """Right answers of every reader to every folded clip; the methods are ranked by the ``ranked`` kinds."""
    right = np.zeros((len(readers), len(chosen), len(clips), len(KINDS)), np.uint8)
    asked, kept = np.zeros((len(clips), len(KINDS)), np.uint8), np.zeros((len(chosen), len(clips)))
    measures = np.zeros((len(chosen), len(clips), 3), np.float32)
    for at, number in enumerate(clips):
        found = torch.load(folded / f"{number:04d}.pt")
        plan = slots(shuffled(pool, clip(pool, number)))
        words, asked_about = packed(plan)
        ids, pictures = torch.tensor(words), pool.pictures(asked_about)
        valid = torch.tensor([question is not None for question in plan])
        columns = [KINDS.index(kind) for kind in PLAN]
        np.add.at(asked[at], columns, valid.numpy())
        groups: dict[int, list[int]] = {}
        for place, each in enumerate(chosen):
            tokens, values = found[each.method, each.retention]
            measures[place, at] = values
            kept[place, at] = len(tokens)
            groups.setdefault(len(tokens), []).append(place)
        for places in groups.values():
            batch = torch.stack([found[chosen[place].method, chosen[place].retention][0] for place in places])
            for row, reader in enumerate(readers.values()):
                true = (
                    reader.answer(batch, *(each.expand(len(places), *each.shape) for each in (ids, pictures)))
                    == ids[ASK + 1]
                ) & valid
                for place, own in zip(places, true.numpy(), strict=True):
                    np.add.at(right[row, place, at], columns, own)
        kept[:, at] /= kept[0, at]
    return Answers(
        tuple(readers), tuple((each.method, each.retention) for each in chosen), right, asked, kept, measures, ranked
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.photos.measure", description=__doc__)
    parser.add_argument("what", choices=("fold", "answer"))
    parser.add_argument("--data", type=Path, required=True, help="folder that lab.real.fetch prepared")
    parser.add_argument("--encoded", type=Path, required=True, help="folder that lab.photos.encode wrote")
    parser.add_argument("--folded", type=Path, required=True, help="folder for the folded clips")
    parser.add_argument("--split", default="final", help="split of the clips (default: final)")
    parser.add_argument("--clips", type=int, default=120, help="how many clips (default: 120)")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip (default: 0)")
    parser.add_argument("--methods", nargs="+", default=list(exact_methods()), help="default: all with an exact budget")
    parser.add_argument("--retention", nargs="+", type=float, default=list(RETENTIONS), help="shares to keep")
    parser.add_argument("--trials", choices=TRIALS, help="settings of lab.trials in place of the methods")
    parser.add_argument("--only", nargs="+", metavar="TRIAL", help="these trials, and AOT")
    parser.add_argument("--readers", nargs="+", type=Path, default=[], help="reader.pt of the varied and the whole one")
    parser.add_argument("--out", type=Path, help="folder for counts, table and picture")
    chosen = parser.parse_args(arguments)
    pool = Pool(chosen.data, chosen.encoded, chosen.split)
    if chosen.trials:
        trials = TRIALS[chosen.trials]()
        if unknown := [label for label in chosen.only or () if label not in trials]:
            parser.error(f"no trial {unknown[0]!r}; there are: {'; '.join(trials)}")
        names = [label for label in trials if label in (DEFAULT, *(chosen.only or trials))]
        given = tried({label: trials[label] for label in names}, chosen.retention)
    elif chosen.only:
        parser.error("--only goes with --trials")
    else:
        given = settings(chosen.methods, chosen.retention)
    clips = range(chosen.first, chosen.first + chosen.clips)
    torch.set_num_threads(1)
    try:
        if chosen.what == "fold":
            fold(pool, given, clips, chosen.folded)
            return
        if not chosen.readers or chosen.out is None:
            raise ValueError("answer needs --readers and --out")
        readers = {path.parent.name: Reader.load(path) for path in chosen.readers}
        ranked = learnt([path.parent for path in chosen.readers])
        write(answers(pool, readers, given, clips, chosen.folded, ranked), chosen.out)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

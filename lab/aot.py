"""How AOT's defaults were chosen: its design space and the settings of other methods, on the same clips.

    .venv/bin/python -m lab.aot choices --output OUT                  # AOT with one choice changed at a time
    .venv/bin/python -m lab.aot peers --output OUT                    # the settings of the other methods
    .venv/bin/python -m lab.aot choices --split confirm --output OUT  # again, on clips not used for any choice

Settings are compared on clips of the first world of `vidfold.tiny` by the embedded model: mean accuracy over the kinds
of question and over the retentions, and the paired difference to AOT's defaults with its standard error over clips.
Results go to OUT/SPLIT-WORLD-MODEL-CLIPS.csv, setting by setting; what it holds is not measured again.
"""

import argparse
import csv
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lab.trials import DEFAULT, TRIALS, Trial
from vidfold.app.loading import load
from vidfold.bench import reading, run
from vidfold.bench.clips import Sample, Scenes
from vidfold.bench.results import Values
from vidfold.bench.scores import Estimate, accuracy, same_clips
from vidfold.bench.settings import FULL, Setting
from vidfold.tokens import VideoTokens

RETENTIONS = (0.25, 0.10, 0.05)
COLUMNS = ("setting", *(f"accuracy_{share:g}" for share in RETENTIONS), "mean", "difference", "error", "seconds")


@torch.no_grad()
def scores(clips: Sequence[tuple[Sample, VideoTokens]], settings: Sequence[Setting]) -> list[Estimate]:
    """Mean accuracy of every setting on encoded clips.

    Raises:
        ValueError: a setting cannot run on a clip.
    """
    found: dict[Setting, list[Values]] = {setting: [] for setting in settings}
    for sample, tokens in clips:
        for setting, values in run.measure(sample, tokens, settings, [reading.measure]).items():
            if isinstance(values, str):
                raise ValueError(f"{setting.method}: {values}")
            found[setting].append(values)
    return [accuracy({name: np.array([row[name] for row in rows]) for name in rows[0]}) for rows in found.values()]


def measure(clips: Sequence[tuple[Sample, VideoTokens]], trial: Trial) -> list[Estimate]:
    """Mean accuracy at every retention."""
    method, fields = trial
    return scores(clips, [Setting("given", share, method(retention=share, **fields)) for share in RETENTIONS])


def row(label: str, found: list[Estimate], default: list[Estimate], seconds: float) -> dict[str, str]:
    """One line of the file."""
    mean = same_clips(found)
    gap = mean - same_clips(default)
    values = [*(each.value for each in found), mean.value, gap.value, gap.error]
    written = [label, *(f"{value:.4f}" for value in values), f"{seconds:.0f}"]
    return dict(zip(COLUMNS, written, strict=True))


def compare(trials: Mapping[str, Trial], chosen: argparse.Namespace) -> None:
    """Measures what the file does not hold yet, and prints all of it, best first."""
    loaded = load("tiny" if chosen.model == "varied" else "tiny-whole")
    source = Scenes(chosen.clips, split=chosen.split, world=chosen.world, frames=(8, 16, 32))
    path = Path(chosen.output) / f"{chosen.split}-{chosen.world}-{chosen.model}-{chosen.clips}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {}
    if path.exists():
        with path.open(newline="") as file:
            rows = {line["setting"]: line for line in csv.DictReader(file)}
    open_ = [label for label in trials if label not in rows]
    if open_:
        samples = [source.sample(place, loaded) for place in range(chosen.clips)]
        clips = [(sample, sample.encode(frozenset({"shallow", "deep", "keys"}))) for sample in samples]
        (full,) = scores(clips, [FULL])
        print(f"all tokens: {full.value:.4f} ± {full.error:.4f}", flush=True)
        default = measure(clips, trials[DEFAULT])
        for label in open_:
            start = time.perf_counter()
            found = default if label == DEFAULT else measure(clips, trials[label])
            rows[label] = row(label, found, default, time.perf_counter() - start)
            print(", ".join(rows[label].values()), flush=True)
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows.values())
    shown = sorted((rows[label] for label in trials), key=lambda line: -float(line["mean"]))
    print(f"\n{path}\n")
    for line in shown:
        error = float(line["error"])
        sigmas = float(line["difference"]) / error if error and math.isfinite(error) else 0.0
        print(f"{line['setting']:48s} {line['mean']}  {float(line['difference']):+.4f} ± {error:.4f} ({sigmas:+.1f})")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.aot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trials", choices=TRIALS)
    parser.add_argument("--split", choices=("search", "confirm"), default="search")
    parser.add_argument("--world", choices=("first", "second"), default="first")
    parser.add_argument("--model", choices=("varied", "whole"), default="varied")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--only", nargs="+", metavar="SETTING", help="these, as the output names them, and the default")
    parser.add_argument("--output", default="out/aot")
    chosen = parser.parse_args()
    if chosen.split == "search" and chosen.world != "first":
        parser.error("nothing is chosen by the second world: --world second goes with --split confirm")
    torch.set_num_threads(1)
    trials = TRIALS[chosen.trials]()
    if unknown := [label for label in chosen.only or () if label not in trials]:
        parser.error(f"no setting {unknown[0]!r}; there are: {'; '.join(trials)}")
    compare({label: trials[label] for label in trials if label in (DEFAULT, *(chosen.only or trials))}, chosen)


if __name__ == "__main__":
    main()

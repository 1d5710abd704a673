"""Answers and drift where part of the vision tower is computed.

    .venv/bin/python -m lab.tower answers --split search --clips 60 --thresholds 0.03 0.05 0.08
    .venv/bin/python -m lab.tower drift --videos FOLDER --tower openai/clip-vit-base-patch16 [--frames 16 --limit 20]
    .venv/bin/python -m lab.tower made --videos FOLDER --tower openai/clip-vit-base-patch16
    .venv/bin/python -m lab.tower count --videos FOLDER --frames 32

`count`: the share of a real tower's work. `answers`: right answers of the embedded model. `drift`: cosine of features
to the whole tower's, on real clips. `made`: the same on clips made of one frame of each, such as a pan or flicker.
Every kind of `lab.tower_kinds` does the share of the work that the method `still` does at the threshold.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lab.tower_kinds import KINDS, run, whole
from vidfold.app.loading import load
from vidfold.app.tables import table
from vidfold.bench import reading
from vidfold.bench.clips import Sample, Scenes
from vidfold.bench.settings import FULL, Fold, Setting
from vidfold.models import family
from vidfold.models.partial.packing import Packing, flat_source
from vidfold.models.partial.tower import Tower, patched
from vidfold.tokens import VideoTokens
from vidfold.tower import Plan, Still
from vidfold.video import sample

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FOLDS = (FULL, Setting("aot", 0.10))
SIDE, PATCH = 224, 16


def answers(split: str, clips: int, start: int, thresholds: list[float], kinds: list[str], out: Path) -> None:
    """One line of JSON a clip, world and way in ``out``; clips that are there are skipped."""
    loaded = load("tiny")
    model, served = loaded.model, family(loaded.model)
    done = {json.loads(line)["clip"] for line in out.read_text().splitlines()} if out.exists() else set()
    for world in ("first", "second"):
        source = Scenes(start + clips, split=split, world=world, frames=(8, 16, 32))
        for number in range(start, start + clips):
            name = f"{world} {number}"
            if name in done:
                continue
            shown = source.sample(number, loaded)
            pixels = shown.video["pixel_values_videos"][0]
            (units,) = served.units(shown.video)
            tower = served.tower(shown.video)
            with torch.no_grad():
                states = model.model.vision_tower.embeddings(pixels)

            (stock,) = served.encode(shown.video)
            tell = functools.partial(_answered, shown, stock, name)
            lines = tell("whole", 0, 1.0, stock.features)
            for threshold in thresholds:
                plan = Still(threshold=threshold).plan(units)
                for kind in kinds:
                    made, share = run(kind, tower, len(tower.layers), states, plan)
                    with torch.no_grad():
                        lines += tell(kind, threshold, share, model.model.multi_modal_projector(made))
            with out.open("a") as file:
                file.write("\n".join(lines) + "\n")


def _answered(
    shown: Sample, like: VideoTokens, clip: str, way: str, threshold: float, share: float, features: Tensor
) -> list[str]:
    tokens = VideoTokens(features, like.grid, like.pooling)
    folds = [Fold.of(setting, tokens, 0) for setting in FOLDS]
    facts = {"clip": clip, "way": way, "threshold": threshold, "share": share}
    return [
        json.dumps(facts | {"kept": setting.retention} | found)
        for setting, found in zip(FOLDS, reading.measure(shown, tokens, folds), strict=True)
    ]


@dataclass(frozen=True)
class Difference:
    """Right answers of a way at a threshold and a share of tokens kept, against the whole tower's on the same clips.

    Attributes:
        share: of the tower computed, mean over clips.
        right: share of all questions answered right.
        rate: its difference to the whole tower's.
        error: the standard error of that, over clips.
    """

    way: str
    threshold: float
    kept: float
    share: float
    right: float
    rate: float
    error: float

    @property
    def within(self) -> float:
        """What the difference is within at 95 %, by two one-sided tests."""
        return abs(self.rate) + 1.645 * self.error


def differences(out: Path) -> list[Difference]:
    """Every way in a file that `answers` wrote."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    groups: dict[tuple[str, float, float], dict[str, Any]] = {}
    for row in rows:
        groups.setdefault((row["way"], row["threshold"], row["kept"]), {})[row["clip"]] = row
    found = []
    for (way, threshold, kept), own in groups.items():
        whole = groups["whole", 0, kept]
        right, stock, asked = (
            np.array([sum(value for name, value in rows[clip].items() if name.startswith(prefix)) for clip in own])
            for rows, prefix in ((own, "right_"), (whole, "right_"), (own, "asked_"))
        )
        less, total = right - stock, asked.sum()
        rate = less.sum() / total
        error = np.sqrt(((less - rate * asked) ** 2).sum()) / total
        share = statistics.mean(row["share"] for row in own.values())
        found.append(Difference(way, threshold, kept, share, right.sum() / total, rate, error))
    return found


def told(out: Path) -> str:
    """The table of a file that `answers` wrote."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    whole = [row for row in rows if row["way"] == "whole" and row["kept"] == 1]
    asked = sum(value for row in whole for name, value in row.items() if name.startswith("asked_"))
    lines = [("way", "threshold", "computed", "kept", "right", "difference in points", "95 % within")]
    lines += [
        (each.way, f"{each.threshold:g}", f"{each.share:.2f}", f"{each.kept:g}", f"{100 * each.right:.1f}",
         f"{100 * each.rate:+.2f} ± {100 * each.error:.2f}", f"{100 * each.within:.2f}")
        for each in differences(out)
    ]  # fmt: skip
    return f"{len(whole)} clips, {asked:.0f} questions\n\n{table(lines)}"


def vision(folder: str) -> tuple[Any, Tower, int]:
    """A CLIP tower, and how many layers lead to its last but one state."""
    from transformers import CLIPVisionModel

    body: Any = CLIPVisionModel.from_pretrained(folder).eval()
    body = getattr(body, "vision_model", body)
    layers = list(body.encoder.layers)
    return body, Tower(body, layers, [each.self_attn for each in layers], [], prefix=1), len(layers) - 1


def squared(frames: np.ndarray[Any, Any], side: int = SIDE) -> Tensor:
    """Frames (F, H, W, 3) uint8 as (F, 3, side, side) brightness."""
    pixels = torch.from_numpy(frames.copy()).movedim(-1, 1).float() / 255
    size = (side, side)
    return functional.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def real(folder: Path, frames: int, limit: int) -> Iterator[tuple[str, Tensor]]:
    """The clips of a folder, each as the first ``frames`` of twice as many that are taken evenly."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files[:: max(1, len(files) // limit)][:limit]:
        shown = sample(path, 2 * frames).pixels
        if len(shown) >= frames:
            yield path.name, squared(shown[:frames])


def made(folder: Path, limit: int) -> Iterator[tuple[str, Tensor]]:
    """Eight frames made of one frame of every clip, by kind."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(8) / 7
    for path in sorted(path for path in folder.iterdir() if path.is_file())[3 :: max(1, 80 // limit)][:limit]:
        picture = squared(sample(path, 3).pixels[1:2])
        still = picture.repeat(8, 1, 1, 1)
        large = functional.interpolate(picture, scale_factor=1.25, mode="bilinear")
        small = still.clone()
        for frame in range(8):
            small[frame, :, 100:106, 20 + 24 * frame : 26 + 24 * frame] = torch.tensor([1.0, 0.1, 0.1])[:, None, None]
        bars = small.clone()
        bars[:, :, :28] = bars[:, :, -28:] = 0
        clips: dict[str, Tensor] = {
            "held": still,
            "noise of 0.01": still + 0.01 * torch.randn(still.shape, generator=generator),
            "noise of 0.03": still + 0.03 * torch.randn(still.shape, generator=generator),
            "flicker of 5 %": still * (1 + 0.05 * (-1) ** torch.arange(8))[:, None, None, None],
            "a dot of 6 x 6 that moves": small,
            "the same with letterbox bars": bars,
            "fade to black": still * (1 - time)[:, None, None, None],
            "slow pan": torch.stack([large[0, :, 20:244, 2 * f : 2 * f + SIDE] for f in range(8)]),
            "fast pan": torch.stack([large[0, :, 20:244, 8 * f : 8 * f + SIDE] for f in range(8)]),
        }
        yield from ((kind, clip.clamp(0, 1)) for kind, clip in clips.items())


@torch.no_grad()
def drift(
    clips: Iterator[tuple[str, Tensor]], folder: str, thresholds: list[float], kinds: list[str], out: Path
) -> None:
    """One line of JSON a clip, way and threshold in ``out``."""
    body, tower, depth = vision(folder)
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    for name, pixels in clips:
        states = body.pre_layrnorm(body.embeddings((pixels - mean) / deviation))
        units = patched(pixels, PATCH, PATCH)
        full, _ = whole(tower, depth, states, Plan.of(torch.ones(units.shape[:2], dtype=torch.bool)))
        for threshold in thresholds:
            plan = Still(threshold=threshold).plan(units)
            for kind in kinds:
                found, share = run(kind, tower, depth, states, plan)
                near = functional.cosine_similarity(found[:, 1:], full[:, 1:], dim=-1)
                facts = {"clip": name, "way": kind, "threshold": threshold, "share": share, "all": float(near.mean())}
                facts |= {"computed": float(near[plan.computed].mean())}
                if not bool(plan.computed.all()):
                    facts |= {"copies": float(near[~plan.computed].mean())}
                with out.open("a") as file:
                    file.write(json.dumps(facts) + "\n")


def count(folder: Path, frames: int, thresholds: list[float], out: Path) -> None:
    """Of every clip and threshold the share of the work of LLaVA-OneVision's tower, SigLIP SO400M of 384 pixels.

    Multiply-adds of its matrix products and of attention, padding counted; one line of JSON each in ``out``.
    """
    width, inner, size, patch = 1152, 4304, 384, 14
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        units = patched(squared(sample(path, frames).pixels, size), patch, patch)
        for threshold in thresholds:
            plan = Still(threshold=threshold).plan(units)
            shown, patches = plan.source.shape
            packing = Packing.of(flat_source(plan.source, 0, 1), torch.full((shown,), patches))
            layer = len(packing.tokens) * (4 * width**2 + 2 * width * inner)
            layer += sum(2 * width * group.queries.numel() * patches for group in packing.groups)
            stock = shown * patches * (4 * width**2 + 2 * width * inner + 2 * width * patches)
            facts = {"clip": path.name, "threshold": threshold, "share": plan.share, "work": layer / stock}
            with out.open("a") as file:
                file.write(json.dumps(facts) + "\n")


def counted(out: Path) -> str:
    """Means and quartiles over clips."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    lines = [("threshold", "clips", "tokens, mean", "work, mean", "work, quartiles", "work, least moving quarter")]
    for threshold in dict.fromkeys(row["threshold"] for row in rows):
        share, work = (
            np.array([row[key] for row in rows if row["threshold"] == threshold]) for key in ("share", "work")
        )
        quartiles = ", ".join(f"{value:.2f}" for value in np.quantile(work, (0.25, 0.5, 0.75)))
        least = np.sort(work)[: max(1, len(work) // 4)].mean()
        lines.append(
            (f"{threshold:g}", str(len(work)), f"{share.mean():.3f}", f"{work.mean():.3f}", quartiles, f"{least:.3f}")
        )
    return table(lines)


def drifts(out: Path, by: Callable[[dict[str, Any]], str]) -> str:
    """Means over clips."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in out.read_text().splitlines():
        row = json.loads(line)
        groups.setdefault((by(row), row["way"], f"{row['threshold']:g}"), []).append(row)
    lines: list[tuple[str, ...]] = [("clips", "way", "threshold", "share", "cosine", "computed", "copies")]
    for (name, way, threshold), rows in groups.items():
        means = [statistics.mean([row[key] for row in rows if key in row] or [float("nan")])
                 for key in ("share", "all", "computed", "copies")]  # fmt: skip
        lines.append((f"{name} ({len(rows)})", way, threshold, *(f"{value:.3f}" for value in means)))
    return table(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.tower", description=__doc__)
    parser.add_argument("what", choices=("answers", "count", "drift", "made"))
    parser.add_argument("--split", default="search")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--tower", default="openai/clip-vit-base-patch16")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.03, 0.05, 0.08])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--out", type=Path, required=True, help="file of results; answers that are there are kept")
    options = parser.parse_args()
    if options.what == "answers":
        answers(options.split, options.clips, options.start, options.thresholds, options.kinds, options.out)
        print(told(options.out))
        return
    if options.what == "count":
        count(options.videos, options.frames, options.thresholds, options.out)
        print(counted(options.out))
        return
    clips = made(options.videos, options.limit)
    if options.what == "drift":
        clips = real(options.videos, options.frames, options.limit)
    drift(clips, options.tower, options.thresholds, options.kinds, options.out)
    print(drifts(options.out, lambda row: row["clip"] if options.what == "made" else "real"))


if __name__ == "__main__":
    main()

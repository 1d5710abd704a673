"""``vidfold bench speed``: the time of every stage up to the first token."""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vidfold.app.progress import say
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.options import Commands, add_method, add_model, add_tower, command, load_model, reducer, tower

if TYPE_CHECKING:
    from vidfold.bench.speed import Plan, Subject
    from vidfold.tower import TowerMethod


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "speed", run, "Time every stage to a first token: unfolded, folded, by an oracle, the authors' way."
    )
    add_method(parser)
    parser.add_argument(
        "--frames", type=int, nargs="+", help="of a video; several: one table each (default: 8 for tiny, else 32)"
    )
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[1], help="videos a call; several: one table each (default: 1)"
    )
    parser.add_argument("--new-tokens", type=int, default=8, help="further tokens timed (default: 8)")
    parser.add_argument("--runs", type=int, default=3, help="turns of all ways at most, three at least (default: 3)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=3.0,
        help="for everything: what does not fit is left out, the authors' way too, but three samples of every other "
        "stage are always taken (default: 3)",
    )
    parser.add_argument("--video", metavar="FILE", help="a video file to read (default: a generated one)")
    parser.add_argument(
        "--videos", metavar="DIR", help="a folder of video files, to time a --tower on: one table over its clips"
    )
    add_tower(parser)
    parser.add_argument("--output", metavar="DIR", help="folder for every sample as JSON and for the tables")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--random-weights",
        metavar="NAME",
        help="instead of --model: a model of real size with random weights, nothing to download; such as "
        "llava-onevision-0.5b",
    )
    add_model(parser)
    parser.set_defaults(model=None)


def run(options: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from vidfold.app.loading import TINY, usual_frames
    from vidfold.bench.speed import Plan, measure, overview, write

    start = time.monotonic()
    if options.random_weights and options.model:
        raise ValueError(
            f"give --model or --random-weights, not both: got {options.model} and {options.random_weights}"
        )
    if options.random_weights and options.quantization:
        raise ValueError(f"random weights are not quantised, got --quantization {options.quantization}")
    options.model = options.model or TINY
    plan = Plan(
        reducer(options),
        frames=tuple(options.frames or [usual_frames(options.random_weights or options.model)]),
        batches=tuple(options.batch),
        runs=options.runs,
        new_tokens=options.new_tokens,
        minutes=options.minutes,
    )
    still = tower(options)
    if (still is None) != (options.videos is None):
        raise ValueError("--tower and --videos DIR go together: what stands still depends on real clips")
    if options.output:
        # A bad folder fails before anything is measured.
        Path(options.output).mkdir(parents=True, exist_ok=True)
    with quiet_libraries():
        subject = _subject(options)
        spent = time.monotonic() - start
        if still is not None:
            _clips(options, plan, still, subject, plan.minutes - spent / 60)
            return
        results = measure(plan, subject, video=options.video, tell=lambda text: say(f"{text}\n"), spent=spent)
    files = write(results, options.output) if options.output else []
    print(results.as_json() if options.json else overview(results))
    if files and not options.json:
        print(f"\nwrote {', '.join(map(str, files))}")


def _clips(options: argparse.Namespace, plan: "Plan", still: "TowerMethod", subject: "Subject", minutes: float) -> None:
    """Measure the clips of a folder with and without a tower method, and print the tables."""
    from vidfold.bench.speed.clips import measure
    from vidfold.bench.speed.clips_report import overview

    if len(plan.frames) > 1:
        raise ValueError(f"--videos takes one number of frames, got {', '.join(map(str, plan.frames))}")
    clips = measure(
        plan.reducer, still, subject, Path(options.videos), plan.frames[0], minutes, lambda text: say(f"{text}\n")
    )
    samples = json.dumps([dataclasses.asdict(clip) for clip in clips], indent=2)
    told = overview(clips, plan.reducer, still)
    if options.output:
        (Path(options.output) / "clips.json").write_text(samples + "\n", encoding="utf-8")
        (Path(options.output) / "clips.txt").write_text(told + "\n", encoding="utf-8")
    print(samples if options.json else told)


def _subject(options: argparse.Namespace) -> "Subject":
    from vidfold.bench.speed import Subject

    if not options.random_weights:
        return Subject.of(load_model(options))
    with announced_if_slow(f"building {options.random_weights}"):
        return Subject.with_random_weights(options.random_weights, options.device, options.dtype, options.attn)

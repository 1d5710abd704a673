"""The command line: arguments in, tables out."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vidfold import extras
from vidfold.console import Progress, patiently, quiet_libraries
from vidfold.tables import described, duration, side_by_side, table, typical

if TYPE_CHECKING:
    from vidfold.asking import Answer
    from vidfold.loading import VideoModel
    from vidfold.reducers import Reducer
    from vidfold.tiny import Clip
    from vidfold.video import Frames

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130
TINY_FRAMES, DEFAULT_FRAMES = 8, 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vidfold``; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("vidfold: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read stdout went away, as ``head`` does; the interpreter must not try to flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, extras.MissingExtra) as error:
        if "--debug" in arguments:
            raise
        print(f"vidfold: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see '{self.prog} --help')")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = _Parser(prog="vidfold", description="Fold a video into a tenth of its tokens for video language models.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str, group: Any = commands) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(run=run)
        return added

    ask = command("ask", _ask, "Ask a model about a video file, folded.")
    ask.add_argument("video", help="a video file")
    ask.add_argument("question", help="in quotes")
    ask.add_argument("--method", default="aot", help="how to fold; see 'vidfold methods' (default: aot)")
    ask.add_argument("--retention", type=_number, help="share of the tokens to keep, in (0, 1] (default: 0.10)")
    ask.add_argument("--frames", type=int, help="frames sampled over the whole video (default: 8 for tiny, else 32)")
    ask.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another field of the method")
    ask.add_argument("--max-new-tokens", type=int, default=64, help="length of the answer at most (default: 64)")
    _add_model(ask)
    ask.add_argument("--compare", action="store_true", help="answer unfolded too, after a first answer to warm up")
    ask.add_argument("--json", action="store_true", help="print one JSON object")

    scene = command("scene", _scene, "Render a clip of the embedded model's world, with questions and true answers.")
    scene.add_argument("path", metavar="OUT.mp4")
    scene.add_argument("--seed", type=int, required=True, help="of the clip; test clips begin at 2000000000")
    scene.add_argument("--json", action="store_true", help="print one JSON object")

    command("methods", _methods, "List the methods.")

    demo = command("demo", _demo, "Ask the embedded model about a clip of its world, unfolded and folded to a tenth.")
    demo.add_argument("--out", default="out/demo", help="folder for the clip (default: out/demo)")
    demo.add_argument("--seed", type=int, default=2_000_000_001, help="of the clip")

    text = "Measure methods side by side."
    benches = commands.add_parser("bench", help=text, description=text)
    quality = command(
        "quality",
        _quality,
        "Measure what methods keep: in feature space, in what the model says, in right answers.",
        benches.add_subparsers(title="benches", required=True, metavar="BENCH"),
    )
    quality.add_argument("--methods", nargs="+", default=["all"], help="names, or all (default); see 'vidfold methods'")
    quality.add_argument(
        "--retention", type=_number, nargs="+", default=[0.25, 0.10], help="shares of the tokens (default: 0.25 0.10)"
    )
    quality.add_argument("--clips", type=int, default=64, help="test clips of the embedded model's world (default: 64)")
    quality.add_argument("--videos", nargs="+", metavar="FILE", help="videos instead; no one knows their true answers")
    quality.add_argument("--question", default="what happens in this video?", help="asked about each of the videos")
    quality.add_argument("--frames", type=int, default=TINY_FRAMES, help="sampled over each of the videos (default: 8)")
    quality.add_argument("--output", default="out/quality", help="folder; what it holds is not measured again")
    quality.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
    _add_model(quality)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="tiny", help="tiny (the embedded model, default), a hub identifier or a folder"
    )
    parser.add_argument("--device", help="such as cpu, cuda:1 or auto (default: a GPU where there is one)")
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16", "float16"), help="default: the checkpoint's own"
    )
    parser.add_argument("--attn", choices=("sdpa", "eager", "flash_attention_2"), help="attention implementation")
    parser.add_argument("--quantization", choices=("4bit", "8bit"), help="of the weights, by bitsandbytes")


def _ask(options: argparse.Namespace) -> None:
    from vidfold.asking import ask, check_question
    from vidfold.budgets import check_count
    from vidfold.loading import TINY
    from vidfold.video import available

    check_question(options.question)
    check_count("max_new_tokens", options.max_new_tokens)
    reducer = _reducer(options.method, options.retention, options.set)
    wanted = options.frames
    if wanted is None:
        wanted = available(options.video, TINY_FRAMES if options.model == TINY else DEFAULT_FRAMES)
    frames, decoding = _decode(options.video, wanted)
    with quiet_libraries():
        loaded = _load(options)
        answers: dict[str, Answer] = {}
        with patiently("answering"):
            if options.compare:
                ask(loaded, frames, options.question, reducer, max_new_tokens=1)
                answers["unfolded"] = ask(loaded, frames, options.question, max_new_tokens=options.max_new_tokens)
            answers["folded"] = ask(loaded, frames, options.question, reducer, max_new_tokens=options.max_new_tokens)
    if options.json:
        report = {
            "video": options.video,
            "question": options.question,
            "model": options.model,
            "method": {"name": reducer.name} | dataclasses.asdict(reducer),
            "frames": len(frames),
            "timestamps": frames.timestamps.tolist(),
            "milliseconds": {"decode": decoding, "load": 1000 * loaded.seconds},
        }
        answered = {name: dataclasses.asdict(answer) for name, answer in answers.items()}
        print(json.dumps(report | answered, default=str, indent=2))
        return
    height, width = frames.pixels.shape[1:3]
    facts = [
        ("video", f"{options.video}, {frames.duration:.1f} s, {len(frames)} frames of {width} x {height}"),
        ("model", f"{options.model} on {loaded.model.device}, loaded in {duration(1000 * loaded.seconds)}"),
        ("method", described(reducer)),
        ("question", options.question),
    ]
    print(table(facts), side_by_side(answers, decoding), sep="\n\n")
    folded = answers["folded"]
    if folded.layer_retention == 1:
        print(f"\nnothing was reduced: {reducer.name} kept all of {folded.tokens_before} tokens")


def _scene(options: argparse.Namespace) -> None:
    from vidfold.tiny import questions, render

    clip = render(options.seed)
    _film(clip, options.path)
    asked = questions(clip)
    if options.json:
        facts = [dataclasses.asdict(question) for question in asked]
        print(json.dumps({"path": options.path, "seed": clip.seed, "questions": facts}, indent=2))
        return
    print(f"wrote {options.path}\n")
    print(table([("question", "true answer"), *((question.text, question.answer) for question in asked)]))


def _methods(options: argparse.Namespace) -> None:
    from vidfold.reducers import METHODS

    rows = [("method", "budget", "needs", "paper", "idea")]
    for name, method in sorted(METHODS.items()):
        budget = "exact" if method().exact else "by content"
        rows.append((name, budget, ", ".join(sorted(method.needs)) or "-", method.paper, method.idea))
    print(table(rows))


def _demo(options: argparse.Namespace) -> None:
    from vidfold.asking import ask
    from vidfold.loading import load
    from vidfold.reducers import get
    from vidfold.tiny import questions, render

    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clip.mp4"
    clip = render(options.seed)
    _film(clip, path)
    one_a_kind = {question.kind: question for question in reversed(questions(clip))}
    asked = list(reversed(one_a_kind.values()))
    frames, decoding = _decode(path, TINY_FRAMES)
    reducer = get("aot", retention=0.10)
    with quiet_libraries(), patiently("answering"):
        loaded = load()
        for way in (None, reducer):
            ask(loaded, frames, asked[0].text, way)
        pairs = [[ask(loaded, frames, question.text, way) for way in (None, reducer)] for question in asked]
    print(f"{path}: clip {clip.seed} of the embedded model's world, {len(frames)} frames read back from the file\n")
    rows = [("question", "true answer", "unfolded", "folded by AOT")]
    rows += [(q.text, q.answer, full.text, folded.text) for q, (full, folded) in zip(asked, pairs, strict=True)]
    print(table(rows) + "\n")
    unfolded, folded = (typical(answers) for answers in zip(*pairs, strict=True))
    print(f"tokens {folded.tokens_before} -> {folded.tokens_after} ({100 * folded.retention:.1f} %)\n")
    print(f"times, decoding once and the median of {len(asked)} questions")
    print(side_by_side({"unfolded": unfolded, "folded by AOT": folded}, decoding, texts=False))
    if folded.total > unfolded.total:
        print("\nThis model is so small that folding takes longer than it saves.")


def _quality(options: argparse.Namespace) -> None:
    from vidfold.bench.quality import plan
    from vidfold.bench.sources import Scenes, Source, Videos
    from vidfold.bench.writing import write_quality

    plan(options.methods, options.retention)
    clips: Source = Scenes(options.clips)
    if options.videos:
        clips = Videos(tuple(options.videos), options.question, options.frames)
    with quiet_libraries():
        text = write_quality(
            options.methods,
            options.retention,
            [clips],
            options.output,
            models=[_load(options)],
            seed=options.seed,
            watch=Progress("measuring clip") if sys.stderr.isatty() else None,
        )
    print(text)


def _reducer(method: str, retention: float | None, fields: Sequence[str]) -> Reducer:
    from vidfold.reducers import get

    settings: dict[str, Any] = {} if retention is None else {"retention": retention}
    for each in fields:
        name, given, value = each.partition("=")
        if not (name and given and value):
            raise ValueError(f"--set takes FIELD=VALUE, such as keep=0.5, got {each!r}")
        settings[name] = _value(value)
    try:
        return get(method, **settings)
    except TypeError as error:
        raise ValueError(f"{method} does not take {', '.join(fields)}: {error}") from error


def _value(text: str) -> object:
    """A Python literal, ``true``, ``false`` or ``none`` in any case, or else the words themselves."""
    try:
        return ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return text


def _decode(path: str | Path, frames: int) -> tuple[Frames, float]:
    """Sampled frames, and the milliseconds that took."""
    from vidfold.video import sample

    start = time.perf_counter()
    sampled = sample(path, frames, progress=Progress("decoding frame"))
    return sampled, 1000 * (time.perf_counter() - start)


def _load(options: argparse.Namespace) -> VideoModel:
    from vidfold.loading import load

    with patiently(f"loading {options.model}"):
        return load(
            options.model,
            device=options.device,
            dtype=options.dtype,
            attention=options.attn,
            quantization=options.quantization,
        )


def _film(clip: Clip, path: str | Path) -> None:
    """The clip as a file: large pixels and a usual frame rate, so that players and encoders treat it well."""
    from vidfold.video import write

    write(path, clip.frames, fps=2, scale=4, hold=12)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number in (0, 1], got {text!r}") from None

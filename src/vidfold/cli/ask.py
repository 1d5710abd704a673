"""``vidfold ask``: questions about a video file, or one that was read before."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidfold.app.tables import described, duration, table
from vidfold.cli.answers import doubts, side_by_side
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.options import (
    FILES,
    WATCH,
    Commands,
    add_model,
    add_tower,
    add_video,
    command,
    load_model,
    reducer,
    tower,
)
from vidfold.cli.videos import frames_for, sampled, saved, video_of

if TYPE_CHECKING:
    from vidfold.app.asking import Answer
    from vidfold.tower import TowerMethod


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "ask", run, "Ask a model about a video file, folded.")
    add_video(parser, f"{FILES}, or a file of 'vidfold read'")
    parser.add_argument(
        "question",
        nargs="+",
        help="in quotes; several are asked of what was read once; - reads one a line from the standard input",
    )
    add_tower(parser)
    parser.add_argument("--max-new-tokens", type=int, default=64, help="length of the answer at most (default: 64)")
    add_model(parser)
    parser.set_defaults(model=None)
    parser.add_argument("--compare", action="store_true", help="answer unfolded too, after a first answer to warm up")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Answer the questions; print the answers with tokens, cache and times."""
    from vidfold.app.asking import check_question
    from vidfold.checks import check_count

    options.question = asked(options.question)
    for question in options.question:
        check_question(question)
    check_count("max_new_tokens", options.max_new_tokens)
    still = tower(options)
    if len(options.question) == 1 and not saved(options.video) and options.stream != WATCH:
        _once(options, options.question[0], still)
        return
    if options.compare or still is not None:
        option = "--compare" if options.compare else "--tower"
        raise ValueError(f"{option} takes one question about a video file")
    _of_one_reading(options)


def asked(given: Sequence[str]) -> list[str]:
    """The questions of a command line; "-" stands for those on the standard input, one a line."""
    from_input = [line.strip() for line in sys.stdin if line.strip()] if "-" in given else []
    if "-" in given and not from_input:
        raise ValueError("question - reads the standard input, which has none: one question a line")
    return [question for each in given for question in (from_input if each == "-" else [each])]


def _of_one_reading(options: argparse.Namespace) -> None:
    """Answers about a video that is read once, or was before."""
    with quiet_libraries():
        video, facts = video_of(options)
        with announced_if_slow("answering"):
            start = time.perf_counter()
            answers = video.ask(options.question, max_new_tokens=options.max_new_tokens)
            spent = 1000 * (time.perf_counter() - start)
    notes = doubts(options.model, options.question)
    if options.json:
        pairs = [{"question": each, "text": text} for each, text in zip(options.question, answers, strict=True)]
        report: dict[str, Any] = {
            "video": options.video,
            "method": video.method,
            "timestamps": video.times,
            "tokens_before": video.before,
            "tokens_after": video.tokens,
            "cache_bytes": video.prefix.nbytes,
            "notes": notes,
            "answers": pairs,
            "milliseconds": spent,
        }
        print(json.dumps(report, indent=2))
        return
    rows = [("question", "answer"), *zip(options.question, answers, strict=True)]
    facts += [("answered in", duration(spent)), *(("note", note) for note in notes)]
    print(table(facts), table(rows), sep="\n\n")


def _once(options: argparse.Namespace, question: str, still: "TowerMethod | None") -> None:
    """The answer to one question, with all of its costs."""
    from vidfold.app.asking import ask

    method = reducer(options)
    frames, decoding = sampled(options)
    with quiet_libraries():
        loaded = load_model(options)
        # Decoded before loading, so that a bad video fails early.
        frames, again = frames_for(options, loaded, frames)
        decoding = decoding if again is None else again
        answers: dict[str, Answer] = {}
        with announced_if_slow("answering"):
            if options.compare:
                ask(loaded, frames, question, method, max_new_tokens=1, tower=still)
                answers["unfolded"] = ask(loaded, frames, question, max_new_tokens=options.max_new_tokens)
            answers["folded"] = ask(
                loaded, frames, question, method, max_new_tokens=options.max_new_tokens, tower=still
            )
    notes = [*frames.notes, *doubts(options.model, [question])]
    if options.json:
        report = {
            "video": options.video,
            "question": question,
            "model": loaded.name,
            "method": method.as_dict(),
            "tower": still and {"name": still.name} | dataclasses.asdict(still),
            "frames": len(frames),
            "timestamps": frames.timestamps.tolist(),
            "notes": notes,
            "milliseconds": {"decode": decoding, "load": 1000 * loaded.seconds},
        }
        answered = {name: dataclasses.asdict(answer) for name, answer in answers.items()}
        print(json.dumps(report | answered, default=str, indent=2))
        return
    height, width = frames.pixels.shape[1:3]
    facts = [
        ("video", f"{options.video}, {frames.duration:.1f} s, {len(frames)} frames of {width} x {height}"),
        *[("note", note) for note in notes],
        ("model", f"{loaded.name} on {loaded.model.device}, loaded in {duration(1000 * loaded.seconds)}"),
        ("method", described(method)),
        *([("plan", f"{len(frames)} frames at {options.tokens / len(frames):.1f} tokens")] if options.tokens else []),
        *([("tower", f"{described(still)}, {100 * answers['folded'].tower_share:.0f} % computed")] if still else []),
        ("question", question),
    ]
    print(table(facts), side_by_side(answers, decoding), sep="\n\n")
    folded = answers["folded"]
    if folded.layer_retention == 1:
        print(f"\nnothing was reduced: {method.name} kept all of {folded.tokens_before} tokens")

"""``vidfold ask``: a question about a video file."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from vidfold.app.tables import described, duration, table
from vidfold.cli.answers import side_by_side
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.files import decode
from vidfold.cli.options import Commands, add_method, add_model, command, load_model, reducer

if TYPE_CHECKING:
    from vidfold.app.asking import Answer


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "ask", run, "Ask a model about a video file, folded.")
    parser.add_argument("video", help="a video file, a folder or pattern of pictures, or an address")
    parser.add_argument("question", help="in quotes")
    add_method(parser)
    parser.add_argument("--frames", type=int, help="frames sampled over the whole video (default: 8 for tiny, else 32)")
    parser.add_argument("--stream", type=int, metavar="N", help="video stream of the file (default: as FFmpeg chooses)")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="length of the answer at most (default: 64)")
    add_model(parser)
    parser.add_argument("--compare", action="store_true", help="answer unfolded too, after a first answer to warm up")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Answer the question; print the answer with tokens, cache and times."""
    from vidfold.app.asking import ask, check_question
    from vidfold.app.loading import usual_frames
    from vidfold.checks import check_count
    from vidfold.models import family

    check_question(options.question)
    check_count("max_new_tokens", options.max_new_tokens)
    method = reducer(options)
    wanted = usual_frames(options.model) if options.frames is None else options.frames
    frames, decoding = decode(options.video, wanted, options.stream)
    with quiet_libraries():
        loaded = load_model(options)
        # Decoded before loading, so that a bad video fails early. Some models want fewer frames.
        shown = family(loaded.model).shown_frames(frames.duration, len(frames))
        if shown != len(frames):
            frames, decoding = decode(options.video, shown, options.stream)
        answers: dict[str, Answer] = {}
        with announced_if_slow("answering"):
            if options.compare:
                ask(loaded, frames, options.question, method, max_new_tokens=1)
                answers["unfolded"] = ask(loaded, frames, options.question, max_new_tokens=options.max_new_tokens)
            answers["folded"] = ask(loaded, frames, options.question, method, max_new_tokens=options.max_new_tokens)
    if options.json:
        report = {
            "video": options.video,
            "question": options.question,
            "model": options.model,
            "method": {"name": method.name} | dataclasses.asdict(method),
            "frames": len(frames),
            "timestamps": frames.timestamps.tolist(),
            "notes": frames.notes,
            "milliseconds": {"decode": decoding, "load": 1000 * loaded.seconds},
        }
        answered = {name: dataclasses.asdict(answer) for name, answer in answers.items()}
        print(json.dumps(report | answered, default=str, indent=2))
        return
    height, width = frames.pixels.shape[1:3]
    facts = [
        ("video", f"{options.video}, {frames.duration:.1f} s, {len(frames)} frames of {width} x {height}"),
        *[("note", note) for note in frames.notes],
        ("model", f"{options.model} on {loaded.model.device}, loaded in {duration(1000 * loaded.seconds)}"),
        ("method", described(method)),
        ("question", options.question),
    ]
    print(table(facts), side_by_side(answers, decoding), sep="\n\n")
    folded = answers["folded"]
    if folded.layer_retention == 1:
        print(f"\nnothing was reduced: {method.name} kept all of {folded.tokens_before} tokens")

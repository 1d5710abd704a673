"""``vidfold demo``: the embedded model on a clip of its worlds, unfolded and folded."""

import argparse
from pathlib import Path

from vidfold import extras
from vidfold.app.tables import table
from vidfold.cli.answers import side_by_side, typical
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.files import decode, film
from vidfold.cli.options import Commands, command

FRAMES = 16
"""Enough for cuts and for objects that return."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands, "demo", run, "Ask the embedded model about a clip of its worlds, unfolded and folded to a tenth."
    )
    parser.add_argument(
        "--output", "--out", default="out/demo", metavar="DIR", help="folder for the clip (default: out/demo)"
    )
    parser.add_argument("--seed", type=int, default=1_000_000_045, help="of the clip; see 'vidfold scene'")


def run(options: argparse.Namespace) -> None:
    """Write a clip, ask one question of each kind unfolded and folded, and print answers and times."""
    from vidfold.app.asking import ask
    from vidfold.app.loading import load
    from vidfold.reducers import get
    from vidfold.tiny import questions, render

    extras.need("models", "video")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clip.mp4"
    clip = render(options.seed, FRAMES)
    film(clip, path)
    one_a_kind = {question.kind: question for question in reversed(questions(clip))}
    asked = list(reversed(one_a_kind.values()))
    frames, decoding = decode(path, FRAMES)
    reducer = get("aot", retention=0.10)
    with quiet_libraries(), announced_if_slow("answering"):
        loaded = load()
        for way in (None, reducer):
            ask(loaded, frames, asked[0].text, way)
        pairs = [[ask(loaded, frames, question.text, way) for way in (None, reducer)] for question in asked]
    print(f"{path}: clip {clip.seed} of the embedded model's worlds, {len(frames)} frames read back from the file\n")
    rows = [("question", "true answer", "unfolded", "folded by AOT")]
    rows += [(q.text, q.answer, full.text, folded.text) for q, (full, folded) in zip(asked, pairs, strict=True)]
    print(table(rows) + "\n")
    unfolded, folded = (typical(answers) for answers in zip(*pairs, strict=True))
    print(f"tokens {folded.tokens_before} -> {folded.tokens_after} ({100 * folded.retention:.1f} %)\n")
    print(f"times, decoding once and the median of {len(asked)} questions")
    print(side_by_side({"unfolded": unfolded, "folded by AOT": folded}, decoding, texts=False))
    if folded.total > unfolded.total:
        print("\nThis model is so small that folding takes longer than it saves.")

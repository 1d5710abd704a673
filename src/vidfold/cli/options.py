"""Options that several commands share."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vidfold.app.parsing import literal
from vidfold.cli.console import announced_if_slow

if TYPE_CHECKING:
    from vidfold.app.loading import VideoModel
    from vidfold.reducers import Reducer
    from vidfold.tower import TowerMethod

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""Where commands are added; `argparse` has no public name for it."""

TINY_FRAMES = 8
"""Frames of a video for the embedded model."""
FILES = "a video file, a folder or pattern of pictures, or an address"
"""What a video may be."""

WATCH = "watch"
"""What ``--stream`` is without a number."""


def command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """The parser of a new command, which calls ``run(options)``."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--verbose", action="store_true", help="write to stderr what is done, from the log 'vidfold'")
    parser.set_defaults(run=run)
    return parser


def number(text: str) -> float:
    """A share, as the type of an option."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number in (0, 1], got {text!r}") from None


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and how it is loaded."""
    parser.add_argument(
        "--model",
        default="tiny",
        help="tiny (the embedded model, default), tiny-whole (its twin, trained further on whole videos alone), a hub "
        "identifier or a folder",
    )
    parser.add_argument("--device", help="such as cpu, cuda:1 or auto (default: a GPU where there is one)")
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16", "float16"), help="default: the checkpoint's own"
    )
    parser.add_argument("--attn", choices=("sdpa", "eager", "flash_attention_2"), help="attention implementation")
    parser.add_argument("--quantization", choices=("4bit", "8bit"), help="of the weights, by bitsandbytes")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python code that comes with the checkpoint; without this it is never run and nobody is asked",
    )


def add_tower(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a tower method."""
    parser.add_argument("--tower", help="what the vision tower computes of a video: still, repeats (default: all)")
    parser.add_argument(
        "--tower-set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the tower method"
    )


def load_model(options: argparse.Namespace) -> "VideoModel":
    """The model that the options of `add_model` name."""
    from vidfold.app.loading import load

    name = options.model or "tiny"
    with announced_if_slow(f"loading {name}"):
        return load(
            name,
            device=options.device,
            dtype=options.dtype,
            attention=options.attn,
            quantization=options.quantization,
            trust_remote_code=options.trust_remote_code,
        )


def pairs(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    """Names and values of an option that takes NAME=VALUE."""
    found = {}
    for each in given:
        name, _, found[name] = each.partition("=")
        if not (name and found[name]):
            raise ValueError(f"{option} takes NAME=VALUE, such as {example}, got {each!r}")
    return found


def add_method(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a method and its fields."""
    parser.add_argument(
        "--method", "--methods", default="aot", metavar="NAME", help="how to fold; see 'vidfold methods' (default: aot)"
    )
    parser.add_argument("--retention", type=number, help="share of the tokens to keep, in (0, 1] (default: 0.10)")
    parser.add_argument("--tokens", type=int, metavar="K", help="instead: keep K tokens, however many frames there are")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another field of the method")


def _stream(text: str) -> int | str:
    """A number of a video stream, or `WATCH`, as the type of an option."""
    if text == WATCH:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None


def add_video(parser: argparse.ArgumentParser, kinds: str) -> None:
    """Add the options that choose a video and how it is folded; ``kinds`` says what a video may be."""
    parser.add_argument("video", help=kinds)
    add_method(parser)
    parser.add_argument(
        "--frames",
        type=int,
        help="frames sampled of the whole video (default: those that --tokens pays for, else 8 for tiny and 32 else)",
    )
    parser.add_argument(
        "--choose",
        default="even",
        metavar="HOW",
        help="which frames: even, scenes (every shot its share), novel (more where it changes), or a CLIP or SigLIP "
        "model, hub identifier or folder: those that fit the question (default: even)",
    )
    parser.add_argument(
        "--stream",
        nargs="?",
        type=_stream,
        const=WATCH,
        metavar="N",
        help="with N: video stream of the file (default: as FFmpeg chooses); alone: read the file as a stream, in "
        "bounded memory, however long it is",
    )
    parser.add_argument(
        "--fps", type=float, default=1.0, help="frames a second of a file read as a stream (default: 1)"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=4096, help="visual tokens of a file read as a stream, at most (default: 4096)"
    )


def reducer(options: argparse.Namespace) -> "Reducer":
    """The method that the options of `add_method` name.

    Raises:
        ValueError: no such method or field, or a value that it refuses.
    """
    from vidfold.reducers import get

    fields = {name: literal(value) for name, value in pairs("--set", options.set, "keep=0.5").items()}
    if options.retention is not None and options.tokens is not None:
        raise ValueError(f"give --retention or --tokens, not both: got {options.retention:g} and {options.tokens}")
    budget = {"retention": options.retention, "tokens": options.tokens}
    return get(options.method, **fields, **{name: value for name, value in budget.items() if value is not None})


def tower(options: argparse.Namespace) -> "TowerMethod | None":
    """The tower method that the options of `add_tower` name; None: none.

    Raises:
        ValueError: no such method or field, a value that it refuses, or fields without a method.
    """
    from vidfold.tower import get

    given = pairs("--tower-set", options.tower_set, "share=0.5")
    if options.tower is None and given:
        raise ValueError(f"--tower-set {options.tower_set[0]} needs a tower method, such as --tower still")
    return None if options.tower is None else get(options.tower, **{name: literal(given[name]) for name in given})

"""Options that several commands share."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vidfold.app.parsing import literal
from vidfold.cli.console import announced_if_slow

if TYPE_CHECKING:
    from vidfold.app.loading import VideoModel
    from vidfold.reducers import Reducer

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""Where commands are added; `argparse` has no public name for it."""

TINY_FRAMES = 8
"""Frames of a video for the embedded model."""


def command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """The parser of a new command, which calls ``run(options)``."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
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


def load_model(options: argparse.Namespace) -> "VideoModel":
    """The model that the options of `add_model` name."""
    from vidfold.app.loading import load

    with announced_if_slow(f"loading {options.model}"):
        return load(
            options.model,
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
    parser.add_argument("--method", default="aot", help="how to fold; see 'vidfold methods' (default: aot)")
    parser.add_argument("--retention", type=number, help="share of the tokens to keep, in (0, 1] (default: 0.10)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another field of the method")


def reducer(options: argparse.Namespace) -> "Reducer":
    """The method that the options of `add_method` name.

    Raises:
        ValueError: no such method or field, or a value that it refuses.
    """
    from vidfold.reducers import get

    fields = {name: literal(value) for name, value in pairs("--set", options.set, "keep=0.5").items()}
    if options.retention is not None:
        fields["retention"] = options.retention
    return get(options.method, **fields)

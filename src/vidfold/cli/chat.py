"""``vidfold chat``: a conversation about a video."""

import argparse
import sys
from typing import TYPE_CHECKING

from vidfold.app.progress import say
from vidfold.app.tables import amount, table
from vidfold.cli.answers import doubts
from vidfold.cli.console import quiet_libraries
from vidfold.cli.options import FILES, Commands, add_model, add_video, command
from vidfold.cli.videos import video_of

if TYPE_CHECKING:
    from vidfold.reading import Conversation, FoldedVideo

HELP = "ask about the video; /frames, /tokens and /quit are commands"


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "chat", run, "Talk about a video: every question sees those before it.")
    add_video(parser, f"{FILES}, or a file of 'vidfold read'")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="length of an answer at most (default: 64)")
    add_model(parser)
    parser.set_defaults(model=None)


def run(options: argparse.Namespace) -> None:
    """Answer lines from the standard input until it ends, or /quit."""
    from vidfold.checks import check_count

    check_count("max_new_tokens", options.max_new_tokens)
    with quiet_libraries():
        video, facts = video_of(options)
        talk = video.chat()
        print(table([*facts, ("help", HELP)]))
        while (line := _asked()) is not None and line != "/quit":
            if line.startswith("/"):
                print(_told(line, video, talk))
            elif line:
                for doubt in doubts(options.model, [line]):
                    say(f"{doubt}\n")
                _answer(talk, line, options.max_new_tokens)


def _asked() -> str | None:
    """The next line, or None at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


def _answer(talk: "Conversation", question: str, longest: int) -> None:
    """Print the answer word by word."""
    from transformers import TextStreamer

    streamer = TextStreamer(talk.wording.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    talk.ask(question, max_new_tokens=longest, streamer=streamer)


def _told(line: str, video: "FoldedVideo", talk: "Conversation") -> str:
    """What a command of the conversation says."""
    if line == "/frames":
        times = video.times or ()
        return f"{len(times)} frames at " + ", ".join(f"{time:.2f}" for time in times) + " s"
    if line == "/tokens":
        return (
            f"video {video.before} -> {video.tokens}, conversation {talk.prefix.ids.shape[1]} tokens, "
            f"cache {amount(talk.prefix.nbytes, 'B')}"
        )
    return f"no command {line!r}: {HELP}"
